/*
 * delete.pml - overwrites, deletes and shares of gateway/tags/ as a model for spin, beside tag.pml: one tag, two digests,
 * pushes that may overwrite or not, a delete with its tombstone, a registry that obeys in the order things arrive,
 * a crash at any point.
 *
 *   spin -a delete.pml && cc -O2 -DSAFETY -o pan pan.c && ./pan       no errors expected
 *   spin -a -DUNSHARED delete.pml && ...                              without shares: pan must find an error
 *   spin -a -DUNHELD delete.pml && ...                                without the delete's hold: pan must find an error
 *
 * Asserted: the registry moves from one digest to another only by a push that may overwrite, or after nothing (a push of
 * another digest after a delete counts as a move: the tombstone remembers); a 201 is for the digest that it has;
 * and when nothing is under way and no answer was lost, the ledger knows what the registry has.
 * `lost` is set by every answer that did not come: a re-push or an overwrite that was not answered may arrive late, which
 * for tags that somebody may overwrite is a limit that the README tells.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#define NONE	  0	/* digests are 1 and 2 */
#define CONFIRMED 1	/* states of the record */
#define CLAIMED	  2
#define DELETED	  3

byte upstream = NONE;
byte last = NONE;		/* what the registry had last: a delete does not clear it */
byte state = NONE, digest = NONE, old_state = NONE, old_digest = NONE;
byte shares = 0;
bool held = false;		/* a live push holds the claim */
bool deleting = false;		/* a live delete holds the tag */
bool lost = false;
byte busy = 0;			/* processes that are not at their end */

inline arrive(d, may)
{
	assert(last == NONE || last == d || may);
	upstream = d;
	last = d
}

proctype push(byte mine; bool may)
{
	bool share = false, over = false, again = false;
	byte seen;

	/* CLAIM */
	if
	:: atomic { held || deleting -> goto done }		/* busy, or another digest in flight */
	:: atomic { !held && !deleting && state == NONE ->
		state = CLAIMED; digest = mine; old_state = NONE; old_digest = NONE; held = true }
	:: atomic { !held && !deleting && state == CONFIRMED && digest == mine -> share = true;
#ifndef UNSHARED
		shares++
#else
		skip
#endif
		}
	:: atomic { !held && !deleting && state == DELETED && digest == mine ->
		old_state = DELETED; old_digest = mine; state = CLAIMED; held = true; over = true }
	:: atomic { !held && !deleting && (state == CONFIRMED || state == DELETED) && digest != mine ->
		if
		:: !may || shares > 0 -> goto done
		:: else -> old_state = state; old_digest = digest; state = CLAIMED; digest = mine; held = true; over = true
		fi }
	:: atomic { !held && !deleting && state == CLAIMED && digest == mine -> held = true; again = true }
	:: atomic { !held && !deleting && state == CLAIMED && digest != mine -> goto done }	/* unresolved */
	fi;

	/* a new claim, or one that was left: ask upstream */
	if
	:: share || over -> skip
	:: else ->
		seen = upstream;
		if
		:: seen == mine -> atomic { state = CONFIRMED; held = false; old_state = NONE; old_digest = NONE }; goto done
		:: seen != NONE && seen != mine && !again && old_state == NONE ->
			atomic { state = CONFIRMED; digest = seen; held = false }; goto done
		:: seen != NONE && seen != mine && (again || old_state != NONE) && !may -> goto give_back
		:: seen == NONE && old_state != NONE && !may && old_digest != mine -> goto give_back
		:: else -> skip
		fi
	fi;

	/* PUT */
	if
	:: goto give_back					/* not sent, or a complete 4xx */
	:: atomic { arrive(mine, may) }				/* 201 */
	:: atomic { arrive(mine, may); lost = true; goto leave }	/* stored, and the answer was lost */
	:: atomic { lost = true; goto leave }			/* not stored, and nobody knows */
	fi;
	seen = upstream;					/* read back */
	if
	:: seen != mine -> lost = true; goto leave
	:: else -> skip
	fi;
	atomic {
		if
		:: share -> skip
		:: else -> state = CONFIRMED; held = false; old_state = NONE; old_digest = NONE
		fi;
		assert(upstream == mine || lost);		/* 201 to the client */
		if :: share && shares > 0 -> shares-- :: else -> skip fi;
		goto done
	};
give_back:
	atomic {
		if
		:: share -> if :: shares > 0 -> shares-- :: else -> skip fi
		:: !share && again -> held = false
		:: !share && !again && old_state == NONE -> state = NONE; digest = NONE; held = false
		:: else -> state = old_state; digest = old_digest; old_state = NONE; old_digest = NONE; held = false
		fi;
		goto done
	};
leave:	/* a timeout, or a crash: who holds is forgotten, the claim stays */
	atomic {
		if
		:: share -> if :: shares > 0 -> shares-- :: else -> skip fi
		:: else -> held = false
		fi
	};
done:
	busy--
}

/* One delete of the tag by who may delete and overwrite. */
proctype delete()
{
	bool fresh = false, was_deleted = false;

	if
#ifndef UNHELD
	:: atomic { held || deleting || shares > 0 || state == CLAIMED -> goto done }
	:: atomic { !(held || deleting || shares > 0 || state == CLAIMED) -> deleting = true }
#else
	:: state == CLAIMED -> goto done
	:: state != CLAIMED -> skip
#endif
	fi;
	if
	:: goto kept						/* policy says no: never marked */
	:: atomic {						/* MARK */
		if
		:: state == NONE && upstream != NONE -> state = DELETED; digest = upstream; fresh = true
		:: state == NONE && upstream == NONE -> skip
		:: else -> was_deleted = (state == DELETED); state = DELETED
		fi }
	fi;
	if
	:: goto kept						/* a complete 4xx, or not sent */
	:: upstream = NONE					/* 202 */
	:: atomic { upstream = NONE; lost = true }		/* deleted, and the answer was lost */
	:: lost = true						/* not deleted, and nobody knows */
	fi;
	deleting = false;					/* END: done or unsure; a crash is the same */
	goto done;
kept:
	atomic {
		if
		:: state == DELETED && fresh -> state = NONE; digest = NONE
		:: state == DELETED && !fresh && !was_deleted -> state = CONFIRMED
		:: else -> skip
		fi;
		deleting = false
	};
done:
	busy--
}

/* Nothing is under way and every answer came: the ledger and the registry say the same. */
proctype judge()
{
	atomic {
		busy == 0 ->
		assert(!held && !deleting && shares == 0);
		assert(lost || state != CONFIRMED || upstream == digest);
		assert(lost || state != DELETED || upstream == NONE);
		assert(lost || state != NONE || upstream == NONE || upstream == last)
	}
}

init {
	byte n = 0;

	atomic {
		/* confirmed already, or there before us, or nothing */
		if
		:: skip
		:: upstream = 1; last = 1
		:: upstream = 1; last = 1; state = CONFIRMED; digest = 1
		fi;
		busy = 4;
		run push(1, false);
		if :: run push(2, false) :: run push(2, true) fi;
		if :: run push(1, false) :: run push(1, true) :: run push(2, false) fi;
		run delete();
		run judge()
	}
}
