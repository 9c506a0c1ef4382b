// verify.js - tokens on standard input, {"jwks", "issuer", "audience", "cases": [[TOKEN, ...], ...]}, verified by jose.
//
// Prints an array: for each case whether the token is good.
// SPDX-License-Identifier: Apache-2.0
'use strict'

// Node 18, which Debian 12 has, keeps it to itself
globalThis.crypto ??= require('node:crypto').webcrypto

async function main () {
  const { createLocalJWKSet, jwtVerify } = await import('jose')
  const { jwks, issuer, audience, cases } = JSON.parse(require('node:fs').readFileSync(0, 'utf8'))
  const keys = createLocalJWKSet(jwks)
  const good = []
  for (const [token] of cases) {
    try {
      await jwtVerify(token, keys, { issuer, audience, algorithms: ['ES256'], requiredClaims: ['exp', 'iat', 'nbf', 'jti', 'sub'] })
      good.push(true)
    } catch {
      good.push(false)
    }
  }
  console.log(JSON.stringify(good))
}

main()
