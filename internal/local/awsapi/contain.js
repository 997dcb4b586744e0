// An error that a package does not catch is that of the request which led to it: that one is
// answered with 500, and the server goes on. contain.locks has the locks released, too, that the
// request held; contain.checks makes what stops a package's own checks the request's fault.
const contain = (() => {
  const http = require('http')
  const { realpathSync } = require('fs')
  const { AsyncLocalStorage } = require('async_hooks')
  const requests = new AsyncLocalStorage()

  class Request {
    locks = new Set()

    constructor(response) { this.response = response }

    fail(error) {
      console.error(error)
      for (const release of this.locks) release()
      if (this.response.headersSent) return this.response.destroy()
      const type = this.response.contentType || 'application/x-amz-json-1.1'
      this.response.writeHead(500, { 'Content-Type': type, Connection: 'close' })
      this.response.end(JSON.stringify({ __type: 'InternalFailure', message: String(error) }))
    }

    // Within its scope, what is thrown at once and what is thrown by callbacks later fail the request.
    scope(work) {
      return (...given) => requests.run(this, () => {
        try { return work(...given) } catch (error) { this.fail(error) }
      })
    }
  }

  process.on('uncaughtException', (error) => {
    const request = requests.getStore()
    if (request) return request.fail(error)
    console.error(error)
    process.exit(1)
  })

  const { createServer } = http
  http.createServer = (handler) => createServer((message, response) => {
    if (!message.url.startsWith('/')) return response.writeHead(400, { Connection: 'close' }).end()
    if (full(message)) return refuseAsFull(message, response)
    const request = new Request(response)
    const { on } = message
    message.on = (event, listener) => on.call(message, event, request.scope(listener))
    request.scope(handler)(message, response)
  })

  const locks = (folder) => {
    const module = require(require.resolve('lock', { paths: [realpathSync(folder)] }))
    const { Lock } = module
    module.Lock = () => {
      const lock = Lock()
      return (key, work) => {
        const request = requests.getStore()
        lock(key, request.scope((releaser) => {
          const release = (done = () => {}) => (...results) => {
            if (!request.locks.delete(end)) return // it has failed, or answered twice
            releaser(done)(...results)
          }
          const end = release()
          request.locks.add(end)
          work(release)
        }))
      }
    }
  }

  const refusal = (type, message) => Object.assign(new Error(message), { statusCode: 400, body: { __type: type, message } })

  // `more` looks at what the package found to be of the right types, and may throw a refusal.
  const checks = (validations, namespace, more) => {
    const { checkTypes, checkValidations } = validations
    const guarded = (check) => (...given) => {
      try { return check(...given) } catch (error) {
        if (error.statusCode) throw error
        console.error(error)
        throw refusal(namespace.validate + 'ValidationException', error instanceof RangeError
          ? 'Nesting Levels have exceeded supported limits' : 'The request has a value where its kind does not belong')
      }
    }
    validations.checkTypes = guarded((request, types) => {
      if (request === null || Array.isArray(request) || typeof request !== 'object') {
        throw refusal(namespace.service + 'SerializationException', 'Start of structure expected')
      }
      const checked = checkTypes(request, types)
      more(checked, (message) => refusal(namespace.validate + 'ValidationException',
        '1 validation error detected: ' + message))
      return checked
    })
    validations.checkValidations = guarded(checkValidations)
  }

  // The memory that the process may take, in bytes. What stores something is refused beyond that, as
  // by a service that is asked for too much at once, instead of ending the process for everybody.
  const limit = Number(process.env.DIECAST_MEMORY_LIMIT)
  const storing = /\.(Put|Create|Update|BatchWrite)/
  const full = (message) => storing.test(message.headers['x-amz-target']) && process.memoryUsage.rss() > limit
  const refuseAsFull = (message, response) => {
    message.resume()
    response.writeHead(400, { 'Content-Type': message.headers['content-type'] ?? 'application/x-amz-json-1.1' })
    response.end(JSON.stringify({ __type: 'LimitExceededException',
      message: `this engine holds the ${Math.round(limit / 2 ** 20)} MiB that it may: start the run anew` }))
  }

  return { locks, checks, response: () => requests.getStore().response }
})()
