// Runs a Node handler of the assembly once, as Lambda does, with its ways out replaced: what it
// invokes is invoked by the test, what it sends to CloudFormation is written into a file, and IAM
// answers as it is told. The event comes on standard input.
// Usage: handler.js FOLDER MODULE.FUNCTION ANSWER_FILE INVOKE_URL
const { readFileSync, writeFileSync } = require('fs')
const { EventEmitter } = require('events')
const Module = require('module')
const [, , folder, name, answerFile, invokeURL] = process.argv

const cloudFormation = {
  request (options, answered) {
    const request = new EventEmitter()
    let body = ''
    request.write = (part) => { body += part }
    request.end = () => {
      if (Buffer.byteLength(body) !== options.headers['content-length']) throw new Error('a wrong content-length')
      writeFileSync(answerFile, body)
      answered({ statusCode: 200, resume () {} })
    }
    return request
  }
}

let lost = Number(process.env.ANSWERS_LOST)
class Lambda {
  async invoke ({ FunctionName, Payload }) {
    const answer = await fetch(invokeURL, { method: 'POST', headers: { function: FunctionName }, body: Payload })
    const payload = new Uint8Array(await answer.arrayBuffer())
    if (lost-- > 0) throw new Error('the connection is gone')
    if (!answer.ok) throw new Error(new TextDecoder().decode(payload))
    return { FunctionError: answer.headers.get('function-error') ?? undefined, Payload: payload }
  }
}

class IAMClient {
  config = { region: async () => 'us-east-1' }
  async send ({ input }) {
    const error = process.env.IAM_REFUSES
    if (error) throw Object.assign(new Error(`it is refused: ${error}`), { name: error })
    // As in the API's reference of CreateServiceLinkedRole.
    return {
      Role: {
        Path: `/aws-service-role/${input.AWSServiceName}/`, RoleName: 'AWSServiceRoleForRDS', RoleId: 'AROA1234567890EXAMPLE',
        Arn: `arn:aws:iam::123456789012:role/aws-service-role/${input.AWSServiceName}/AWSServiceRoleForRDS`,
        CreateDate: new Date(0), AssumeRolePolicyDocument: encodeURIComponent(JSON.stringify({
          Version: '2012-10-17',
          Statement: [{ Action: ['sts:AssumeRole'], Effect: 'Allow', Principal: { Service: [input.AWSServiceName] } }]
        }))
      }
    }
  }
}
class CreateServiceLinkedRoleCommand { constructor (input) { this.input = input } }

const replaced = {
  https: cloudFormation,
  '@aws-sdk/client-lambda': { Lambda, waitUntilFunctionActiveV2: async () => {} },
  '@aws-sdk/client-sfn': { SFN: class {} },
  '@aws-sdk/client-iam': { IAMClient, CreateServiceLinkedRoleCommand }
}
const load = Module._load
Module._load = (wanted, ...rest) => replaced[wanted] ?? load(wanted, ...rest)

const [file, handler] = name.split('.')
require(`${folder}/${file}`)[handler](JSON.parse(readFileSync(0, 'utf8')), { logStreamName: '2026/11/28/[$LATEST]0123456789abcdef' })
  .catch((error) => { console.error(error); process.exit(1) })
