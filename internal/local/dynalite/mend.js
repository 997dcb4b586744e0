// Where dynalite falls short of DynamoDB.
{
  const dynalite = process.argv[1]
  contain.locks(dynalite + '/db')

  // Its parsers of expressions read what is in parentheses once for each rule that might begin there:
  // ten levels take half a minute, in which nobody is answered. Here each rule remembers what it has
  // found where.
  const { readFileSync } = require('fs')
  const Module = require('module')
  for (const parser of ['condition', 'projection', 'update']) {
    const file = require.resolve(`${dynalite}/db/${parser}Parser.js`)
    const module = Object.assign(new Module(file), { filename: file, paths: Module._nodeModulePaths(dynalite) })
    module._compile(readFileSync(file, 'utf8').replaceAll(/^ {2}function peg\$parse(\w+)\(\) \{/gm, (_, rule) =>
      `  var peg$found${rule} = {}
  function peg$parse${rule}() {
    const at = peg$currPos
    const found = peg$found${rule}[at] ??= { answer: peg$read${rule}(), end: peg$currPos }
    peg$currPos = found.end
    return found.answer
  }
  function peg$read${rule}() {`), file)
    require.cache[file] = module
  }

  // It takes a tag without key or value.
  const namespace = { service: 'com.amazon.coral.service#', validate: 'com.amazon.coral.validate#' }
  contain.checks(require(dynalite + '/validations'), namespace, (request, refusal) => {
    if (!Array.isArray(request.Tags)) return
    for (const [n, tag] of request.Tags.entries()) {
      for (const part of ['Key', 'Value']) {
        if (tag?.[part] != null) continue
        throw refusal(`Value null at 'tags.${n + 1}.member.${part.toLowerCase()}' failed to satisfy constraint: ` +
          'Member must not be null')
      }
    }
  })
}
