// Runs a real Matrix homeserver for tests of bots and clients, and makes it fail as they ask.
//
// It needs Node 18 and nothing else: copy this file beside your tests.
//
//   import { test } from 'node:test'
//   import { startHomeserver } from './homeserver-testing.mjs'
//
//   test('the bot answers', async (t) => {
//     const server = await startHomeserver(t, { users: { alice: 'wordpass', bot: 'wordpass' } })
//     const bot = server.user('bot')
//     await server.fail({ method: 'PUT', user_id: bot.user_id, times: 1, status: 429, retry_after_ms: 1000 })
//     // … let the bot run against server.baseUrl with bot.access_token …
//     const sent = await server.waitForRequests(2, { method: 'PUT', user_id: bot.user_id })
//   })
//
// The program is `homeserver` in PATH, or what the environment variable HOMESERVER_BIN names. Where it or PostgreSQL is missing,
// the test is skipped; if the variable CI is set, as on build servers, it fails.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

const START_MS = 120_000
const STOP_MS = 30_000
const LOG_LINES = 500

/** The program or PostgreSQL is missing on this machine. */
export class Missing extends Error {}

/** The server has refused a request of the test itself. */
export class Refused extends Error {
  constructor(method, url, status, text) {
    super(`${method} ${url}: ${status} ${text}`)
    this.status = status
    try {
      this.errcode = JSON.parse(text).errcode
    } catch {
      this.errcode = undefined
    }
  }
}

/**
 * Starts a server that ends with a test: `t` is the context of one, or of a suite's `before` hook.
 * Where something is missing the test is skipped, and this returns undefined.
 */
export async function startHomeserver(t, options = {}) {
  try {
    const server = await Homeserver.start(options)
    t.after(() => server.stop())
    return server
  } catch (error) {
    if (!(error instanceof Missing) || process.env.CI) throw error
    t.skip(error.message)
    return undefined
  }
}

/** A server on temporary data. */
export class Homeserver {
  #process
  #log

  /**
   * Starts a server, for use outside of a test: call stop(). Throws Missing.
   *
   * @param {object} [options]
   * @param {Record<string, string>} [options.users] passwords by name
   * @param {Record<string, string>} [options.admins] the same for administrators
   * @param {string} [options.seed] a YAML file
   * @param {string} [options.seedRandom] numbers of made-up data
   * @param {string[]} [options.flags] further flags of `homeserver dev`
   * @param {string} [options.program] the path of the program
   */
  static async start({ users = {}, admins = {}, seed, seedRandom, flags = [], program } = {}) {
    const args = ['dev', '--json', '--exit-at-eof', '--listen', '127.0.0.1:0', '--listen', 'tls://localhost:0']
    for (const [name, password] of Object.entries(users)) args.push('--user', `${name}:${password}`)
    for (const [name, password] of Object.entries(admins)) args.push('--user', `${name}:${password}:admin`)
    if (seed !== undefined) args.push('--seed', seed)
    if (seedRandom !== undefined) args.push('--seed-random', seedRandom)
    const server = new Homeserver()
    await server.#start(program ?? process.env.HOMESERVER_BIN, [...args, ...flags])
    return server
  }

  async #start(program, args) {
    // A server of tests is as its flags say, whatever else this machine has configured.
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('HOMESERVER_')))
    // The server ends when its standard input is closed, which the end of this process does as well.
    this.#process = spawn(program ?? 'homeserver', args, { env })
    this.#log = []
    createInterface({ input: this.#process.stderr }).on('line', (line) => {
      this.#log.push(line)
      if (this.#log.length > LOG_LINES) this.#log.shift()
    })
    const watch = setTimeout(() => this.#process.kill('SIGKILL'), START_MS)
    const line = await this.#firstLine(program).finally(() => clearTimeout(watch))
    const document = JSON.parse(line)
    this.baseUrl = document.base_url
    this.tlsUrl = document.tls_url
    this.caFile = document.ca_file
    this.serverName = document.server_name
    this.controlUrl = document.control_url
    this.users = document.users
    this.rooms = document.rooms ?? []
  }

  #firstLine(program) {
    return new Promise((resolve, reject) => {
      createInterface({ input: this.#process.stdout }).once('line', resolve)
      this.#process.once('error', (error) => {
        if (error.code !== 'ENOENT') reject(error)
        else if (program) reject(new Error(`there is no program ${program}`))
        else reject(new Missing('the program homeserver was not found: put it in PATH, or name it with HOMESERVER_BIN'))
      })
      // After all that it has written.
      this.#process.once('close', () => {
        const last = this.#log.at(-1) ?? ''
        reject(last.includes('no PostgreSQL') ? new Missing(last) : new Error(`the server did not start:\n${this.log}`))
      })
    })
  }

  /** The newest lines of the server's log. */
  get log() {
    return this.#log.join('\n')
  }

  /** Ends the server. */
  async stop() {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return
    const ended = once(this.#process, 'exit')
    const watch = setTimeout(() => this.#process.kill('SIGKILL'), STOP_MS)
    this.#process.stdin.end()
    await ended
    clearTimeout(watch)
  }

  /** Returns user_id, device_id, access_token, password and admin of a user who is named with or without @ and server name. */
  user(name) {
    const id = name.startsWith('@') ? name : `@${name}:${this.serverName}`
    const found = this.users.find((user) => user.user_id === id)
    if (!found) throw new Error(`the server was not started with a user ${id}`)
    return found
  }

  /** Returns the ID of a room by its `id` in the seed file. */
  room(id) {
    const found = this.rooms.find((room) => room.id === id)
    if (!found) throw new Error(`there is no room ${id} in the seed`)
    return found.room_id
  }

  /**
   * Makes a request as a user (a name, or null), and returns the answer. The path is below /_matrix/client/v3, unless it begins
   * with /_. Throws Refused.
   */
  call(user, method, path, body) {
    const token = user === null ? undefined : this.user(user).access_token
    return request(method, this.baseUrl + (path.startsWith('/_') ? path : `/_matrix/client/v3${path}`), body, token)
  }

  /**
   * Has the next requests fail, and returns the ID of the fault.
   *
   * Which requests: method, route, user_id, device_id, times, skip. What happens: one of status (with errcode, error,
   * retry_after_ms), delay_ms, drop, truncate, stale_since, repeat_sync, soft_logout. With after: true the request is served first,
   * and only its answer is lost.
   */
  async fail(fault) {
    return (await this.#control('POST', '/faults', fault)).fault_id
  }

  /** Returns how many requests a fault has met. */
  async hits(faultId) {
    const { faults } = await this.#control('GET', '/faults')
    const found = faults.find((fault) => fault.fault_id === faultId)
    if (!found) throw new Error(`there is no fault ${faultId}`)
    return found.hits
  }

  /** Ends a fault. */
  async takeBack(faultId) {
    await this.#control('DELETE', `/faults/${encodeURIComponent(faultId)}`)
  }

  /** Ends all faults. */
  async takeBackAll() {
    await this.#control('DELETE', '/faults')
  }

  /** Returns what clients have sent, the oldest first. Filters: method, route, user_id, device_id, since (a number n). */
  async requests(filters = {}) {
    return (await this.#control('GET', `/requests?${new URLSearchParams(filters)}`)).requests
  }

  /** Returns the requests that the filters pick once there are so many. Throws where that takes longer than `timeoutMs`. */
  async waitForRequests(count, { timeoutMs = 30_000, ...filters } = {}) {
    const found = await this.requests({ ...filters, wait_for: count, timeout_ms: timeoutMs })
    if (found.length < count) {
      throw new Error(`clients have sent ${found.length} of ${count} requests that were waited for: ${JSON.stringify(filters)}`)
    }
    return found
  }

  /** Forgets what clients have sent. */
  async forget() {
    await this.#control('DELETE', '/requests')
  }

  /** Sets the server back to what it was when it started. A client needs a /sync without since then. */
  async reset() {
    await this.#control('POST', '/reset')
  }

  /** Moves the server's clock forward. */
  async advance(ms) {
    await this.#control('POST', '/clock', { advance_ms: ms })
  }

  /** Switches the rate limits of a server in production on, or off as they are at the start. */
  async limitRates(enabled = true) {
    await this.#control('PUT', '/rate-limits', { enabled })
  }

  #control(method, path, body) {
    return request(method, this.controlUrl + path, body)
  }
}

async function request(method, url, body, token) {
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
  const answer = await fetch(url, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) })
  const text = await answer.text()
  if (!answer.ok) throw new Refused(method, url, answer.status, text)
  return JSON.parse(text)
}
