// Uploads a file with tus-js-client, the reference client, and prints the upload's URL.
//
//     BYTEHAUL_NPM=… node tus_client.mjs FILE CREATION-URL [OPTIONS of tus-js-client as JSON]
import { createReadStream } from 'node:fs'
import { createRequire } from 'node:module'

const require = createRequire(process.env.BYTEHAUL_NPM + '/x.js')
const tus = require('tus-js-client')

const [file, endpoint, options] = process.argv.slice(2)
const upload = new tus.Upload(createReadStream(file), {
  endpoint,
  retryDelays: [0, 50, 100, 200],
  ...JSON.parse(options ?? '{}'),
  onError (error) {
    console.error(String(error))
    process.exitCode = 1
  },
  onSuccess () {
    console.log(upload.url)
  }
})
upload.start()
