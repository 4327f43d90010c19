// Tests the helper against a real server: HOMESERVER_BIN=… node --test

import assert from 'node:assert/strict'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, beforeEach, describe, it } from 'node:test'
import { Homeserver, Missing, Refused, startHomeserver } from './homeserver-testing.mjs'

const SEND = '/rooms/{roomId}/send/{eventType}/{txnId}'

describe('a server', () => {
  let server
  before(async () => {
    server = await Homeserver.start({ users: { alice: 'wordpass', bob: 'word:pass' }, admins: { root: 'wordpass' } })
  })
  after(() => server.stop())
  beforeEach(async () => {
    await server.reset()
    await server.forget()
  })
  const whoami = (user = 'alice') => server.call(user, 'GET', '/account/whoami')

  it('has users who are logged in', async () => {
    for (const name of ['alice', 'bob', 'root']) assert.equal((await whoami(name)).user_id, `@${name}:localhost`)
    assert.equal(server.user('@bob:localhost').password, 'word:pass')
    assert.equal(server.user('root').admin, true)
    assert.throws(() => server.user('carol'), /@carol:localhost/)
  })

  it('fails as it is asked to', async () => {
    const fault = await server.fail({ route: '/account/whoami', user_id: '@alice:localhost', times: 1, status: 429, retry_after_ms: 10 })
    await whoami('bob')
    await assert.rejects(whoami(), (error) => error instanceof Refused && error.status === 429 && error.errcode === 'M_LIMIT_EXCEEDED')
    assert.equal(await server.hits(fault), 1)
    await whoami()
    const other = await server.fail({ status: 500 })
    await server.takeBack(other)
    await whoami()
    await server.fail({ status: 500 })
    await server.takeBackAll()
    await whoami()
    await assert.rejects(server.hits(other), /there is no fault/)
  })

  it('keeps what was sent', async () => {
    const { room_id: room } = await server.call('alice', 'POST', '/createRoom', {})
    await server.call('alice', 'PUT', `/rooms/${room}/send/m.room.message/1`, { msgtype: 'm.text', body: 'hello' })
    const [sent] = await server.waitForRequests(1, { route: SEND })
    assert.deepEqual([sent.body.body, sent.status, sent.user_id], ['hello', 200, '@alice:localhost'])
    await assert.rejects(server.waitForRequests(1, { route: SEND, since: sent.n, timeoutMs: 10 }), /0 of 1/)
    await server.forget()
    assert.deepEqual(await server.requests(), [])
  })

  it('is set back', async () => {
    await server.call('alice', 'POST', '/createRoom', {})
    await server.reset()
    assert.deepEqual(await server.call('alice', 'GET', '/joined_rooms'), { joined_rooms: [] })
  })

  it('has a clock and rate limits', async () => {
    await server.advance(60_000)
    await server.limitRates()
    const login = { type: 'm.login.password', identifier: { type: 'm.id.user', user: 'alice' }, password: 'wordpass' }
    const many = async () => {
      for (let i = 0; i < 1000; i++) await server.call(null, 'POST', '/login', login)
    }
    await assert.rejects(many(), (error) => error.errcode === 'M_LIMIT_EXCEEDED')
    await server.limitRates(false)
  })
})

describe('a start', () => {
  let folder
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'homeserver-testing-'))
  })
  after(() => rm(folder, { recursive: true }))

  it('loads a seed, and ends with the test', async (t) => {
    const seed = join(folder, 'seed.yaml')
    await writeFile(seed, 'users: [{name: carol}]\nrooms: [{id: lobby, creator: carol}]\n')
    let server
    await t.test('inner', async (t) => {
      server = await startHomeserver(t, { seed })
      assert.deepEqual((await server.call('carol', 'GET', '/joined_rooms')).joined_rooms, [server.room('lobby')])
      assert.throws(() => server.room('cellar'), /there is no room cellar/)
    })
    await assert.rejects(fetch(`${server.baseUrl}/_matrix/client/versions`))
  })

  it('says which flag is wrong', async () => {
    await assert.rejects(Homeserver.start({ flags: ['--nonsense'] }), /flag provided but not defined: -nonsense/)
  })

  it('says what is missing, and skips the test unless on a build server', async () => {
    const program = join(folder, 'program')
    await writeFile(program, "#!/bin/sh\necho 'homeserver: no PostgreSQL 14 or newer is installed: …' >&2\nexit 1\n")
    await chmod(program, 0o700)
    await assert.rejects(Homeserver.start({ program: '/nowhere' }), /there is no program \/nowhere/)
    const { CI, HOMESERVER_BIN, PATH } = process.env
    const restore = () => {
      for (const [name, value] of Object.entries({ CI, HOMESERVER_BIN, PATH })) {
        if (value === undefined) delete process.env[name]
        else process.env[name] = value
      }
    }
    try {
      process.env.PATH = '/nowhere'
      delete process.env.HOMESERVER_BIN
      for (const [options, reason] of [[{}, /put it in PATH/], [{ program }, /no PostgreSQL/]]) {
        delete process.env.CI
        const skipped = []
        assert.equal(await startHomeserver({ skip: (text) => skipped.push(text) }, options), undefined)
        assert.match(skipped[0], reason)
        process.env.CI = 'true'
        await assert.rejects(startHomeserver({}, options), (error) => error instanceof Missing && reason.test(error.message))
      }
    } finally {
      restore()
    }
  })
})
