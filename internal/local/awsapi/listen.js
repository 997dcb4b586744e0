const { renameSync, writeFileSync } = require('fs')
const [, folder, settings, port, portFile] = process.argv

const server = admit(require(folder)(JSON.parse(settings)))
server.listen(Number(port), '127.0.0.1', () => {
  writeFileSync(portFile + '.new', String(server.address().port))
  renameSync(portFile + '.new', portFile)
})
