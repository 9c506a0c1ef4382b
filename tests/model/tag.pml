/*
 * tag.pml - the claim protocol of gateway/tags/ as a model for spin: two digests, PUSHES pushes through gateways that
 * share one ledger, a registry without compare-and-swap, PUTs that arrive late, a crash at any point.
 *
 *   spin -a tag.pml && cc -O2 -DSAFETY -o pan pan.c && ./pan          no errors expected
 *   spin -a -DBROKEN tag.pml && ...                                   without the claim: pan must find an error
 *
 * Asserted: the registry never moves from one digest to another, and a 201 is for the digest that it has.
 * Time is one bit: a claim can be settled only when nothing that was sent is on its way (`settle` is that long).
 * Nobody may overwrite here.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#define PUSHES	3
#define NONE	0	/* digests are 1 and 2 */

byte upstream = NONE;
byte confirmed = NONE;		/* the ledger's record ... */
byte claimed = NONE;		/* ... or its claim ... */
bool held = false;		/* ... which a live push holds */
bool sent_before = false;	/* the claim was unresolved before it was held: giving it back does not end it */
byte epoch = 0;			/* how often a claim was made: claimed_at. Holding it again makes it young again */
byte flying[3];			/* PUTs of digest 1 and 2 on their way */

inline arrive(d)
{
	assert(upstream == NONE || upstream == d);
	upstream = d
}

/* The network: what was sent arrives when it likes, or never. */
active proctype network()
{
end:
	do
	:: atomic { flying[1] > 0 -> flying[1]--; if :: arrive(1) :: skip fi }
	:: atomic { flying[2] > 0 -> flying[2]--; if :: arrive(2) :: skip fi }
	od
}

proctype push(byte mine)
{
	byte seen, other, asked;
	bool holding = false;

again:
	if
#ifdef BROKEN
	:: true -> goto look
#else
	:: atomic { confirmed == mine -> goto send }
	:: atomic { confirmed != NONE && confirmed != mine -> goto done }
	:: atomic { held -> goto done }			/* wait in vain, or refused: the same to the registry */
	:: atomic { confirmed == NONE && !held && claimed == NONE ->
		claimed = mine; epoch++; held = true; holding = true; sent_before = false; goto look }
	:: atomic { !held && claimed == mine -> epoch++; held = true; holding = true; sent_before = true; goto look }
	:: atomic { !held && claimed != NONE && claimed != mine -> other = claimed; asked = epoch; goto look_after }
#endif
	fi;

look_after:		/* a claim that nobody holds: settled when upstream was asked after everything had arrived */
	if
	:: atomic { flying[1] + flying[2] == 0 -> seen = upstream }
	:: atomic { flying[1] + flying[2] > 0 -> seen = upstream; if :: seen == other -> skip :: else -> goto done fi }
	:: goto done					/* no answer */
	fi;
	atomic {
		if
		:: !held && claimed == other && seen == other -> claimed = NONE; confirmed = seen
		:: !held && claimed == other && seen == NONE && asked == epoch -> claimed = NONE
		:: !held && claimed == other && seen != NONE && seen != other && asked == epoch ->
			claimed = NONE; confirmed = seen
		:: else -> skip
		fi
	};
	if
	:: goto again
	:: goto done
	fi;

look:
	if
	:: seen = upstream
	:: goto give_back				/* no answer */
	:: goto crash
	fi;
	if
	:: seen == NONE -> goto send
	:: seen == mine -> atomic { if :: holding -> confirmed = mine; claimed = NONE; held = false; holding = false
				       :: else -> skip fi }; goto send
	:: seen != NONE && seen != mine && sent_before -> goto give_back
	:: else -> atomic { if :: holding -> confirmed = seen; claimed = NONE; held = false; holding = false
			       :: else -> skip fi }; goto done
	fi;

send:
	if
	:: goto crash					/* nothing was sent */
	:: goto give_back				/* not one byte was sent, or a complete 4xx */
	:: atomic { flying[mine]++ -> goto crash }	/* it may still arrive */
	:: atomic { flying[mine]++ -> goto unresolve }	/* a timeout, a 5xx */
	:: atomic { arrive(mine) -> skip }		/* a complete 201 */
	fi;
	seen = upstream;				/* read back */
	if
	:: seen == mine -> skip
	:: else -> goto unresolve
	fi;
	atomic { if :: holding -> confirmed = mine; claimed = NONE; held = false; holding = false :: else -> skip fi };
	assert(upstream == mine);			/* 201 to the client */
	goto done;

give_back:
	atomic {
		if
		:: holding && !sent_before -> claimed = NONE; held = false
		:: holding && sent_before -> held = false
		:: else -> skip
		fi;
		goto done
	};
unresolve:
crash:			/* the gateway forgets who holds what; the claim stays */
	atomic { if :: holding -> held = false :: else -> skip fi };
done:
	skip
}

init {
	byte n = 0;

	atomic {
		if :: upstream = NONE :: upstream = 1 fi;	/* it may have been there before us */
		do
		:: n < PUSHES -> if :: run push(1) :: run push(2) fi; n++
		:: n == PUSHES -> break
		od
	}
}
