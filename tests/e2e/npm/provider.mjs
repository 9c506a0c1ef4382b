// provider.mjs KIND PORT CONTROL CERT KEY AUDIENCE - a real OpenID Connect provider at https://localhost:PORT.
//
// KIND is oidc-provider or oauth2-mock-server. It is told what to do on http://127.0.0.1:CONTROL: POST /keys has the keys that
// it publishes from now on, as [{"kid": "k1", "alg": "RS256"}], made when they are new; POST /token mints one with {"kid",
// "claims"} (oauth2-mock-server) or asks the provider's own token endpoint (oidc-provider, {"alg"}); GET /asked counts requests by path.
// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import { webcrypto } from 'node:crypto'
import { exportJWK, generateKeyPair } from 'jose'

// what Node 18, which Debian 12 has, keeps to itself or does not know yet
globalThis.crypto ??= webcrypto
URL.parse ??= (url, base) => { try { return new URL(url, base) } catch { return null } }

const [kind, port, control, cert, key, audience] = process.argv.slice(2)
const issuer = `https://localhost:${port}`
const made = new Map() // kid -> private JWK
const asked = {}
let handler = (req, res) => { res.statusCode = 503; res.end() }
let mint

async function keysFor (wanted) {
  for (const { kid, alg } of wanted) {
    if (made.has(kid)) continue
    const { privateKey } = await generateKeyPair(alg, { extractable: true })
    made.set(kid, { ...await exportJWK(privateKey), kid, alg, use: 'sig' })
  }
  return wanted.map(({ kid }) => made.get(kid))
}

async function mockServer (keys) {
  const { OAuth2Issuer, OAuth2Service } = await import('oauth2-mock-server')
  const published = new OAuth2Issuer()
  published.url = issuer
  for (const k of keys) await published.keys.add({ ...k })
  handler = new OAuth2Service(published).requestHandler
  mint = async ({ kid, claims }) => {
    const signer = new OAuth2Issuer() // of keys that are not published, too
    signer.url = issuer
    await signer.keys.add({ ...made.get(kid) })
    return signer.buildToken({ kid, scopesOrTransform: (header, payload) => Object.assign(payload, { aud: audience }, claims) })
  }
}

async function realProvider (keys) {
  const { Provider } = await import('oidc-provider')
  let alg
  const provider = new Provider(issuer, {
    clients: [{ client_id: 'ci', client_secret: 'a-secret-of-the-tests', grant_types: ['client_credentials'], redirect_uris: [], response_types: [] }],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: () => ({ scope: 'pull', audience, accessTokenTTL: 300, accessTokenFormat: 'jwt', jwt: { sign: { alg } } })
      }
    },
    jwks: { keys }
  })
  handler = provider.callback()
  mint = (asks) => new Promise((resolve, reject) => {
    alg = asks.alg
    const body = new URLSearchParams({ grant_type: 'client_credentials', resource: 'https://registry.test', scope: 'pull' }).toString()
    const req = https.request(`${issuer}/token`, {
      method: 'POST',
      ca: readFileSync(process.env.NODE_EXTRA_CA_CERTS),
      headers: { 'content-type': 'application/x-www-form-urlencoded', authorization: `Basic ${btoa('ci:a-secret-of-the-tests')}` }
    }, (res) => {
      let text = ''
      res.on('data', (d) => { text += d })
      res.on('end', () => res.statusCode === 200 ? resolve(JSON.parse(text).access_token) : reject(new Error(text)))
    })
    req.on('error', reject)
    req.end(body)
  })
}

https.createServer({ cert: readFileSync(cert), key: readFileSync(key) }, (req, res) => {
  asked[req.url] = (asked[req.url] ?? 0) + 1
  handler(req, res)
}).listen(Number(port), '127.0.0.1')

http.createServer((req, res) => {
  let text = ''
  req.on('data', (d) => { text += d })
  req.on('end', async () => {
    try {
      const asks = text === '' ? null : JSON.parse(text)
      let out = 'ok'
      if (req.url === '/keys') await (kind === 'oidc-provider' ? realProvider : mockServer)(await keysFor(asks))
      if (req.url === '/token') out = await mint(asks)
      if (req.url === '/asked') out = JSON.stringify(asked)
      res.end(out)
    } catch (e) {
      res.statusCode = 500
      res.end(String(e.stack ?? e))
    }
  })
}).listen(Number(control), '127.0.0.1')
