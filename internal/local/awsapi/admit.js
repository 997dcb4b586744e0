// Every user of this machine, and every page in a browser, reaches the server's port. It serves who
// signs with the run's access key, as AWS does, and no page: no request with an Origin, and none for
// a host of another name, which a name server could make lead here.
const admit = (() => {
  const { createHash, timingSafeEqual } = require('crypto')
  const digest = (text) => createHash('sha256').update(text).digest()
  const wanted = digest(process.env.DIECAST_ACCESS_KEY_ID)
  delete process.env.DIECAST_ACCESS_KEY_ID

  const keyID = ({ headers, url }) => {
    const inHeader = /^AWS4-HMAC-SHA256 (?:.*[ ,])?Credential=([^/, ]*)/.exec(headers.authorization || '')
    if (inHeader) return inHeader[1]
    const query = new URLSearchParams(url.slice((url + '?').indexOf('?') + 1))
    return (query.get('X-Amz-Credential') || '').split('/')[0]
  }

  // The names and the status are those of AWS JSON.
  const reason = (request) => {
    const { headers, socket } = request
    const own = ['127.0.0.1', 'localhost'].map((host) => host + ':' + socket.localPort)
    if (headers.origin !== undefined || !own.includes(headers.host)) {
      return [403, 'AccessDeniedException', 'pages in a browser and other host names are refused']
    }
    const id = keyID(request)
    if (!id) return [400, 'MissingAuthenticationTokenException', 'Missing Authentication Token']
    if (!timingSafeEqual(digest(id), wanted)) {
      return [400, 'UnrecognizedClientException', 'The security token included in the request is invalid.']
    }
  }

  return (server) => {
    const serve = server.listeners('request')
    server.removeAllListeners('request')
    return server.on('request', (request, response) => {
      const refused = reason(request)
      if (!refused) return serve.forEach((listener) => listener.call(server, request, response))
      const [status, type, message] = refused
      request.on('error', () => {}).resume()
      response.writeHead(status, { 'Content-Type': 'application/x-amz-json-1.1', 'x-amzn-ErrorType': type })
      response.end(JSON.stringify({ __type: type, message }))
    })
  }
})()

