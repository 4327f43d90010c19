// Tests the client against a real server: node --test

import assert from 'node:assert/strict'
import { test } from 'node:test'
// A client of yours has a copy beside its tests.
import { startHomeserver } from '../../clients/javascript/homeserver-testing.mjs'
import { Client, Refused } from './client.mjs'

const SEND = '/rooms/{roomId}/send/{eventType}/{txnId}'

/** Starts a server with alice in a room, and a client of bob that follows it. The server disturbs what that reads from the start. */
async function follow(t, effect) {
  const server = await startHomeserver(t, { users: { alice: 'wordpass', bob: 'wordpass' } })
  if (!server) return {}
  const { room_id: room } = await server.call('alice', 'POST', '/createRoom', { preset: 'public_chat' })
  await server.call('bob', 'POST', `/join/${room}`)
  const fault = effect && await server.fail({ method: 'GET', route: '/sync', user_id: '@bob:localhost', times: 2, ...effect })
  const client = new Client({ baseUrl: server.baseUrl, token: server.user('bob').access_token, pauseMs: 10 })
  const read = []
  let arrived = () => {}
  client.onMessage = (_, event) => {
    read.push(event.content.body)
    arrived(event.content.body)
  }
  const following = new AbortController()
  const followed = client.follow(following.signal)
  t.after(async () => {
    following.abort()
    await followed
  })
  let sent = 0
  const say = (body) => server.call('alice', 'PUT', `/rooms/${room}/send/m.room.message/${++sent}`, { msgtype: 'm.text', body })
  /** Has alice say something, and returns all that the client has read, once it has read that. */
  const sayAndRead = async (body) => {
    const there = new Promise((resolve) => { arrived = (text) => text === body && resolve() })
    await say(body)
    await there
    return read
  }
  return { server, room, client, fault, say, sayAndRead }
}

for (const [name, effect] of Object.entries({
  'a rate limit': { status: 429, retry_after_ms: 20 },
  'a broken proxy': { status: 502 },
  'a lost request': { drop: true },
  'a lost answer': { drop: true, after: true },
  'half an answer': { truncate: 60 },
  'a position that stays': { repeat_sync: true },
  'an old position': { stale_since: '' },
})) {
  test(`each message is read once, in order, with ${name}`, async (t) => {
    const { server, fault, say, sayAndRead } = await follow(t, effect)
    if (!server) return
    await sayAndRead('one')
    for (const text of ['two', 'three', 'four']) await say(text)
    assert.deepEqual(await sayAndRead('end'), ['one', 'two', 'three', 'four', 'end'])
    assert.ok(await server.hits(fault) > 0)
  })
}

test('a message is sent once, whatever happens', async (t) => {
  const { server, room, client, sayAndRead } = await follow(t)
  if (!server) return
  for (const effect of [
    { status: 429, retry_after_ms: 1000 }, { status: 504, after: true }, { drop: true }, { drop: true, after: true }, { truncate: 5 },
  ]) {
    const fault = await server.fail({ route: SEND, user_id: '@bob:localhost', times: 1, ...effect })
    await client.send(room, JSON.stringify(effect))
    assert.equal(await server.hits(fault), 1)
  }
  assert.equal((await sayAndRead('end')).length, 6)
  const [limited, again] = await server.requests({ route: SEND, user_id: '@bob:localhost' })
  assert.equal(limited.path, again.path) // with the same transaction ID
  assert.ok(Date.parse(again.at) - Date.parse(limited.at) >= 1000)
})

test('what is refused is not tried again', async (t) => {
  const { server, client } = await follow(t)
  if (!server) return
  await assert.rejects(client.send('!nowhere:localhost', 'hello'), (error) => error instanceof Refused && error.errcode === 'M_FORBIDDEN')
  assert.equal((await server.requests({ route: SEND })).length, 1)
})
