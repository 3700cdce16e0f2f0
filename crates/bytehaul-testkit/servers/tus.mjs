// A tus 1.0 server: the reference implementation for Node with its file store, in the directory where it is started.
//
//     BYTEHAUL_NPM=… node tus.mjs PORT SETUP.json
//
// SETUP: token, maxSize, expireMs, relativeLocation, without (extensions not to offer), checksum (offer that extension).
// The reference server has no checksums: here the body of a PATCH is held back until its digest was compared.
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import http from 'node:http'
import { createRequire } from 'node:module'
import { Readable } from 'node:stream'
import { pathToFileURL } from 'node:url'

const resolve = createRequire(process.env.BYTEHAUL_NPM + '/x.js').resolve
const load = name => import(pathToFileURL(resolve(name)))
const { Server } = await load('@tus/server')
const { FileStore, FileConfigstore } = await load('@tus/file-store')

const [port, setupFile] = process.argv.slice(2)
const setup = JSON.parse(readFileSync(setupFile))
const algorithms = ['md5', 'sha1', 'sha256', 'sha512']

const store = new FileStore({
  directory: 'uploads',
  configstore: new FileConfigstore('uploads'),
  expirationPeriodInMilliseconds: setup.expireMs || undefined
})
store.extensions = store.extensions.filter(name => !setup.without.includes(name))
if (setup.checksum) store.extensions.push('checksum')
const tus = new Server({
  path: '/files',
  datastore: store,
  maxSize: setup.maxSize || undefined,
  relativeLocation: setup.relativeLocation
})

function deny (request, response, status, text) {
  request.resume()
  response.writeHead(status, { 'Tus-Resumable': '1.0.0', 'Content-Type': 'text/plain' }).end(text + '\n')
}

// The answer to this request, or undefined when it may go on; then with the body as if it had just come.
async function compared (request) {
  const [algorithm, expected] = request.headers['upload-checksum'].split(' ')
  if (!algorithms.includes(algorithm) || !expected) return [400, 'unknown checksum']
  const chunks = []
  for await (const chunk of request) chunks.push(chunk)
  const body = Buffer.concat(chunks)
  if (createHash(algorithm).update(body).digest('base64') !== expected) return [460, 'checksum mismatch']
  return body
}

async function handle (request, response) {
  if (setup.token && request.method !== 'OPTIONS' && request.headers.authorization !== `Bearer ${setup.token}`) {
    return deny(request, response, 401, 'bearer token wanted')
  }
  if (!setup.checksum) return tus.handle(request, response)
  if (request.method === 'OPTIONS') response.setHeader('Tus-Checksum-Algorithm', algorithms.join(','))
  if (!request.headers['upload-checksum']) return tus.handle(request, response)
  const outcome = await compared(request)
  if (Array.isArray(outcome)) return deny(request, response, ...outcome)
  const again = Readable.from(outcome.length ? [outcome] : [], { objectMode: false })
  for (const name of ['method', 'url', 'headers', 'rawHeaders', 'httpVersion', 'httpVersionMajor', 'httpVersionMinor', 'socket']) {
    Object.defineProperty(again, name, { value: request[name], writable: true })
  }
  return tus.handle(again, response)
}

const server = http.createServer((request, response) => {
  handle(request, response).catch(error => {
    if (response.headersSent || response.destroyed) return
    deny(request, response, 500, String(error))
  })
})
server.requestTimeout = 0
// Clients that vanish in the middle of a request are what the tests are about.
process.on('uncaughtException', error => console.error('uncaught', error))
process.on('unhandledRejection', error => console.error('unhandled', error))
server.listen(Number(port), '127.0.0.1')
await once(server, 'listening')
