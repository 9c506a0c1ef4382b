/*
 * command.h - the subcommands of the binary, one function each: argv[0] is the subcommand, the result the exit status.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TW_COMMAND_H
#define TW_COMMAND_H

int run_command(int argc, char **argv);		/* run -c FILE */
int check_command(int argc, char **argv);	/* check -c FILE */
int policy_command(int argc, char **argv);	/* policy TOOL ... */
int audit_command(int argc, char **argv);	/* audit verify */
int tag_command(int argc, char **argv);		/* tag list|show|history|release|import */
int quarantine_command(int argc, char **argv);	/* quarantine add|remove|list|release */
int who_pulled_command(int argc, char **argv);	/* who-pulled DIGEST */
int token_command(int argc, char **argv);	/* token keygen|mint|verify */
int provider_command(int argc, char **argv);	/* credential-provider < REQUEST */
int helper_command(int argc, char **argv);	/* docker-credential get|store|erase|list */
int probe_command(int argc, char **argv);	/* probe ADDRESS:PORT */

#endif
