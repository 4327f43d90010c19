// A client that follows rooms and sends to them, whatever the network does. Its test shows how such a client is tested.
//
//   import { Client } from './client.mjs'
//   const client = new Client({ baseUrl: 'https://example.org', token: '…' })
//   client.onMessage = (room, event) => console.log(room, event.sender, event.content.body)
//   await client.follow(signal)

import { randomUUID } from 'node:crypto'

/** The server has refused a request, and would refuse it again. */
export class Refused extends Error {
  constructor(status, { errcode, error }) {
    super(`${status} ${errcode}: ${error}`)
    this.errcode = errcode
  }
}

export class Client {
  /** Is called once with each message, in the order of its room. */
  onMessage = (_room, _event) => {}
  #baseUrl
  #token
  #pauseMs
  #since
  #seen = new Set()

  /** `pauseMs` is how long the client waits after a failure that names no time. It doubles with each failure in a row. */
  constructor({ baseUrl, token, pauseMs = 1000 }) {
    this.#baseUrl = baseUrl
    this.#token = token
    this.#pauseMs = pauseMs
  }

  /** Reads until the signal aborts. */
  async follow(signal) {
    while (!signal.aborted) {
      const query = new URLSearchParams({ timeout: '30000', ...(this.#since && { since: this.#since }) })
      const answer = await this.#call('GET', `/sync?${query}`, undefined, signal)
      if (!answer) return
      for (const [room, { timeline }] of Object.entries(answer.rooms?.join ?? {})) {
        for (const event of timeline.events) this.#receive(room, event)
      }
      this.#since = answer.next_batch
    }
  }

  // The same event may come again: where an answer was lost, or the server has gone back.
  #receive(room, event) {
    if (event.type !== 'm.room.message' || this.#seen.has(event.event_id)) return
    this.#seen.add(event.event_id)
    this.onMessage(room, event)
  }

  /** Sends a message exactly once, and returns its event ID. */
  async send(room, body) {
    const path = `/rooms/${encodeURIComponent(room)}/send/m.room.message/${randomUUID()}`
    return (await this.#call('PUT', path, { msgtype: 'm.text', body })).event_id
  }

  // Makes a request until the server has done it or refuses it; returns undefined if the signal aborts. All requests here may
  // be repeated: they read, or have a transaction ID.
  async #call(method, path, body, signal) {
    for (let pauseMs = this.#pauseMs; ; pauseMs = Math.min(2 * pauseMs, 60_000)) {
      const outcome = await this.#try(method, path, body, signal).catch((error) => {
        if (error instanceof Refused) throw error
        return { waitMs: undefined } // the request is lost, or the answer, or a part of it
      })
      if ('answer' in outcome) return outcome.answer
      if (signal?.aborted) return undefined
      await pause(outcome.waitMs ?? pauseMs, signal)
    }
  }

  async #try(method, path, body, signal) {
    const answer = await fetch(`${this.#baseUrl}/_matrix/client/v3${path}`, {
      method, signal, headers: { authorization: `Bearer ${this.#token}` }, body: body && JSON.stringify(body),
    })
    if (answer.status >= 500) return { waitMs: undefined }
    const content = await answer.json()
    if (answer.ok) return { answer: content }
    if (answer.status !== 429) throw new Refused(answer.status, content)
    const seconds = Number.parseInt(answer.headers.get('retry-after') ?? '', 10)
    return { waitMs: Number.isNaN(seconds) ? content.retry_after_ms : 1000 * seconds }
  }
}

/** Waits, or until the signal aborts. */
function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms)
    signal?.addEventListener('abort', () => {
      clearTimeout(timer)
      resolve()
    }, { once: true })
  })
}
