const { renameSync, writeFileSync } = require('fs')
const [, folder, settings, port, portFile] = process.argv

// The servers throw what a client's broken connection raises, which would end them for everybody.
process.on('uncaughtException', (error) => {
  console.error(error)
  if (error.code !== 'ECONNRESET' && error.code !== 'EPIPE') process.exit(1)
})

const server = admit(require(folder)(JSON.parse(settings)))
server.listen(Number(port), '127.0.0.1', () => {
  writeFileSync(portFile + '.new', String(server.address().port))
  renameSync(portFile + '.new', portFile)
})
