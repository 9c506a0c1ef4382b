// attach.js IMAGE DIGEST TEXT - attach TEXT as an attestation to the image, as GitHub's attest actions do.
//
// The library speaks plain HTTP to localhost, so IMAGE has another name, and every name is this machine here. USER and
// PASSWORD come from the environment; NODE_EXTRA_CA_CERTS names the CA. Prints the descriptor, or what went wrong.
// SPDX-License-Identifier: Apache-2.0
'use strict'
const dns = require('node:dns')

dns.lookup = (name, options, done) => {
  const answer = typeof options === 'function' ? options : done
  if (options && options.all) answer(null, [{ address: '127.0.0.1', family: 4 }])
  else answer(null, '127.0.0.1', 4)
}

const { attachArtifactToImage } = require('@sigstore/oci')
const [imageName, imageDigest, text] = process.argv.slice(2)

attachArtifactToImage({
  imageName,
  imageDigest,
  mediaType: 'application/vnd.dev.sigstore.bundle.v0.3+json',
  artifact: Buffer.from(JSON.stringify({ text })),
  annotations: { 'dev.sigstore.bundle.predicateType': 'https://slsa.dev/provenance/v1', text },
  credentials: { username: process.env.USER, password: process.env.PASSWORD },
  fetchOpts: { retry: false, timeout: 30000 }
}).then(
  (descriptor) => console.log(JSON.stringify(descriptor)),
  (error) => {
    console.log(`${error.message}: ${error.cause ? error.cause.message : ''}`)
    process.exitCode = 1
  }
)
