// Where kinesalite falls short of Kinesis.
{
  const kinesalite = process.argv[1]
  contain.locks(kinesalite + '/db')

  // It takes a stream's name for that of a field of an array, which may be there already: `length`.
  const db = require(kinesalite + '/db')
  const { create } = db
  db.create = (options) => {
    const store = create(options)
    const { getStreamDb, deleteStreamDb } = store
    store.getStreamDb = (name) => getStreamDb('/' + name)
    store.deleteStreamDb = (name, answer) => deleteStreamDb('/' + name, answer)
    return store
  }

  // Of its pattern of numbers, only the second half is held to the end of a text.
  for (const action of ['getShardIterator', 'putRecord', 'putRecords', 'splitShard']) {
    const whole = (types) => Object.values(types ?? {}).forEach((type) => {
      if (type.regex?.startsWith('0|')) type.regex = `(${type.regex})`
      whole(type.children?.children)
    })
    whole(require(`${kinesalite}/validations/${action}`).types)
  }

  // It takes null for a record or a tag.
  const validations = require(kinesalite + '/validations')
  contain.checks(validations, { service: '', validate: '' }, (request, refusal) => {
    for (const [name, members] of Object.entries(request)) {
      if (typeof members !== 'object' || Buffer.isBuffer(members)) continue
      for (const [member, value] of Object.entries(members)) {
        if (value !== null) continue
        const place = Array.isArray(members) ? Number(member) + 1 : member
        throw refusal(`Value null at '${validations.toLowerFirst(name)}.${place}.member' failed to satisfy ` +
          'constraint: Member must not be null')
      }
    }
  })

  // It knows the longest retention of 2015, a week; a year is allowed.
  const retention = require(kinesalite + '/validations/increaseStreamRetentionPeriod')
  retention.types.RetentionPeriodHours.lessThanOrEqual = 8760

  // It gives as many records at once as were asked for, of any size: beyond half a gigabyte, more than
  // a text may have here. Kinesis gives 10 MB, and tells by a time behind the latest that there is more.
  const most = 10 * 1024 * 1024
  const size = (record) => Buffer.byteLength(record.Data, 'base64')
  const { lazy } = db
  db.lazy = (stream, answer) => {
    const items = lazy(stream, answer)
    const { take } = items
    items.take = (limit) => {
      let bytes = 0
      return take(limit).takeWhile((item) => !item.value || (bytes += size(item.value)) <= most)
    }
    return items
  }
  const getRecords = require.resolve(kinesalite + '/actions/getRecords')
  const unlimited = require(getRecords)
  require.cache[getRecords].exports = (store, request, answer) => unlimited(store, request, (error, records) => {
    const found = records?.Records ?? []
    // The next may be as long as any: 1 MB.
    if (found.reduce((sum, record) => sum + size(record), 0) > most - 1024 * 1024) {
      const behind = Date.now() - found.at(-1).ApproximateArrivalTimestamp * 1000
      records.MillisBehindLatest = Math.max(1, Math.floor(behind))
    }
    answer(error, records)
  })

  // It tells nobody how many records a stream has accepted, as CloudWatch does: here a header of the
  // summary's answer tells it.
  const accepted = new Map()
  const counting = (name, count) => {
    const file = require.resolve(kinesalite + '/actions/' + name)
    const act = require(file)
    require.cache[file].exports = (store, request, answer) => act(store, request, (error, done) => {
      if (!error) count(request.StreamName, request)
      answer(error, done)
    })
  }
  const accept = (stream, records) => accepted.set(stream, (accepted.get(stream) ?? 0) + records)
  counting('putRecord', (stream) => accept(stream, 1))
  counting('putRecords', (stream, request) => accept(stream, request.Records.length))
  counting('deleteStream', (stream) => accepted.delete(stream))
  counting('describeStreamSummary', (stream) => {
    contain.response().setHeader('X-Diecast-Accepted', accepted.get(stream) ?? 0)
  })

  // It never answers a request for an iterator AT_TIMESTAMP where the shard has no record of that
  // time or later. Kinesis answers with one for the next record to come.
  const action = require.resolve(kinesalite + '/actions/getShardIterator')
  const original = require(action)
  require.cache[action].exports = (store, request, answer) => {
    const valid = request.Timestamp != null && request.Timestamp * 1000 <= Date.now()
    if (request.ShardIteratorType !== 'AT_TIMESTAMP' || !valid) return original(store, request, answer)
    // Taken before the search: what comes during the search is not passed over.
    const latest = { ...request, ShardIteratorType: 'LATEST', Timestamp: undefined }
    original(store, latest, (error, iterator) => {
      if (error) return answer(error)
      const shard = db.resolveShardId(request.ShardId).shardIx
      const range = { gt: db.shardIxToHex(shard), lt: db.shardIxToHex(shard + 1) }
      db.lazy(store.getStreamDb(request.StreamName).createReadStream(range), answer)
        .filter((item) => item.value.ApproximateArrivalTimestamp >= request.Timestamp)
        .join((later) => (later.length > 0 ? original(store, request, answer) : answer(null, iterator)))
    })
  }
}
