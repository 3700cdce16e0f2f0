// Uploads a file with tus-js-client, the reference client, and prints the upload's URL.
//
//     BYTEHAUL_NPM=… node tus_client.mjs FILE CREATION-URL [OPTIONS of tus-js-client as JSON]
//
// For the protocols of the IETF draft the file is held in memory: of a file the client never says that a chunk is the last.
import { createReadStream, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const require = createRequire(process.env.BYTEHAUL_NPM + '/x.js')
const tus = require('tus-js-client')

const [file, endpoint, given] = process.argv.slice(2)
const options = JSON.parse(given ?? '{}')
const source = options.protocol ? readFileSync(file) : createReadStream(file)
const upload = new tus.Upload(source, {
  endpoint,
  retryDelays: [0, 50, 100, 200],
  ...options,
  onError (error) {
    console.error(String(error))
    process.exitCode = 1
  },
  onSuccess () {
    console.log(upload.url)
  }
})
upload.start()
