/*
 * secrets.yar - credentials in files of an image, by the shapes that their issuers document.
 *
 * SPDX-License-Identifier: Apache-2.0
 */

/* Keys that are there without a passphrase. Of OpenSSH's format nobody can tell by a look, so all of them. */
rule Private_Key
{
	strings:
		$begin = /-----BEGIN (RSA |EC |DSA |OPENSSH )?PRIVATE KEY-----[\r\n]+[A-Za-z0-9+\/=\r\n]{64}/ ascii
		$encrypted = "Proc-Type: 4,ENCRYPTED" ascii
	condition:
		filesize < 1MB and $begin and not $encrypted
}

rule AWS_Access_Key
{
	strings:
		$id = /\b(AKIA|ASIA)[A-Z2-7]{16}\b/ ascii
		$secret = /aws_secret_access_key\s*[=:]\s*["']?[A-Za-z0-9\/+]{40}\b/ nocase ascii
	condition:
		filesize < 1MB and $id and $secret
}

rule GitHub_Token
{
	strings:
		$token = /\bgh[pousr]_[A-Za-z0-9]{36}\b/ ascii
		$fine = /\bgithub_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}\b/ ascii
	condition:
		filesize < 1MB and any of them
}

rule Slack_Token
{
	strings:
		$token = /\bxox[bpas]-[0-9]{10,13}-[0-9A-Za-z-]{20,}/ ascii
	condition:
		filesize < 1MB and $token
}

/* ~/.docker/config.json with a login in it. */
rule Docker_Login
{
	strings:
		$auths = /"auths"\s*:\s*\{/ ascii
		$auth = /"auth"\s*:\s*"[A-Za-z0-9+\/]{12,}={0,2}"/ ascii
	condition:
		filesize < 1MB and all of them
}

/* A kubeconfig that logs in by itself. */
rule Kubeconfig
{
	strings:
		$kind = /kind:\s*Config\b/ ascii
		$clusters = "clusters:" ascii
		$token = /\btoken:\s*[A-Za-z0-9._-]{20,}/ ascii
		$key = /client-key-data:\s*[A-Za-z0-9+\/=]{64,}/ ascii
	condition:
		filesize < 1MB and $kind and $clusters and any of ($token, $key)
}
