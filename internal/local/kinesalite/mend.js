// Two things in which kinesalite falls short of Kinesis.
{
  const kinesalite = process.argv[1]

  // It knows the longest retention of 2015, a week; a year is allowed.
  const retention = require(kinesalite + '/validations/increaseStreamRetentionPeriod')
  retention.types.RetentionPeriodHours.lessThanOrEqual = 8760

  // It never answers a request for an iterator AT_TIMESTAMP where the shard has no record of that
  // time or later. Kinesis answers with one for the next record to come.
  const db = require(kinesalite + '/db')
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
