// Signs in at a homeserver by OAuth 2.0, and lists the rooms of the user by sliding sync, as Element Web does: with the same
// library, and with what it asks for. sign_in_test.go drives the page.

import { ClientEvent, createClient, HttpApiEvent, OAuth2 } from 'matrix-js-sdk'
import { MSC3575_STATE_KEY_LAZY, MSC3575_STATE_KEY_ME, MSC3575_WILDCARD, SlidingSync } from 'matrix-js-sdk/lib/sliding-sync.js'

const redirectURI = location.origin + '/'

const MEMBERS = ['m.room.member', MSC3575_STATE_KEY_ME]
const REQUIRED = [
  ...['m.room.join_rules', 'm.room.avatar', 'm.room.canonical_alias', 'm.room.tombstone', 'm.room.encryption', 'm.room.create'].map((type) => [type, '']),
  ['m.space.child', MSC3575_WILDCARD],
  ['m.space.parent', MSC3575_WILDCARD],
  MEMBERS
]
const LISTS = {
  spaces: { room_types: ['m.space'] },
  invites: { is_invite: true },
  favourites: { tags: ['m.favourite'] },
  dms: { is_dm: true, is_invite: false, not_tags: ['m.favourite', 'm.lowpriority'] },
  untagged: { is_dm: false, is_invite: false, not_room_types: ['m.space'], not_tags: ['m.favourite', 'm.lowpriority'] }
}
// In a room that is open: all state, but members only as they are needed.
const OPEN_ROOM = { timeline_limit: 50, required_state: [[MSC3575_WILDCARD, MSC3575_WILDCARD], MEMBERS, ['m.room.member', MSC3575_STATE_KEY_LAZY]] }

const element = (id) => document.getElementById(id)
const say = (text) => { element('status').textContent = text }

// ask takes the person to the homeserver, to sign in there; with the prompt "create" to make an account.
async function ask(baseUrl, prompt) {
  const metadata = await createClient({ baseUrl }).getAuthMetadata()
  if (prompt && !metadata.prompt_values_supported?.includes(prompt)) throw new Error(`the server does not know the prompt ${prompt}`)
  const clientId = await OAuth2.registerClient(metadata, {
    application_type: 'web', client_name: 'Rooms', client_uri: redirectURI, redirect_uris: [redirectURI]
  })
  const oauth = new OAuth2(metadata, { clientId })
  const state = crypto.randomUUID()
  sessionStorage.setItem(state, JSON.stringify({ baseUrl, context: oauth.context }))
  location.assign(await oauth.generateAuthorizationCodeGrantUrl(state, redirectURI, 'fragment', prompt))
}

// complete goes on where the homeserver has sent the person back.
async function complete(answer) {
  history.replaceState(null, '', redirectURI)
  const kept = sessionStorage.getItem(answer.get('state'))
  if (!kept) throw new Error('the answer is to no question of this page')
  sessionStorage.removeItem(answer.get('state'))
  if (answer.has('error')) throw new Error(answer.get('error'))
  const { baseUrl, context } = JSON.parse(kept)
  const metadata = await createClient({ baseUrl }).getAuthMetadata()
  const tokens = await new OAuth2(metadata, context).completeAuthorizationCodeGrant(answer.get('code'), redirectURI)
  const { user_id: userId, device_id: deviceId } = await createClient({ baseUrl, accessToken: tokens.access_token }).whoami()
  await follow(createClient({
    baseUrl, userId, deviceId, accessToken: tokens.access_token, refreshToken: tokens.refresh_token, oauthClientId: context.clientId,
    onTokenRefresh: () => { element('renewed').textContent = Number(element('renewed').textContent) + 1 }
  }))
}

// follow shows the rooms of the user until the session ends.
async function follow(client) {
  element('user').textContent = client.getUserId()
  element('device').textContent = client.getDeviceId()
  element('session').hidden = false
  await client.initRustCrypto({ useIndexedDB: false })
  const lists = Object.entries(LISTS).map(([name, filters]) => [name, { ranges: [[0, 99]], timeline_limit: 1, required_state: REQUIRED, filters }])
  const sync = new SlidingSync(client.baseUrl, new Map(lists), OPEN_ROOM, client, 20000)
  let open
  const draw = () => {
    element('rooms').replaceChildren(...client.getRooms().sort((a, b) => (b.getBumpStamp() ?? 0) - (a.getBumpStamp() ?? 0)).map((room) => {
      const item = document.createElement('li')
      item.id = room.roomId
      item.className = room.getMyMembership()
      item.textContent = `${room.name}: ${lastText(room)} (${room.getUnreadNotificationCount()})`
      item.onclick = () => {
        open = room
        sync.modifyRoomSubscriptions(new Set([room.roomId]))
        draw()
      }
      return item
    }))
    element('timeline').replaceChildren(...(open?.getLiveTimeline().getEvents() ?? []).filter(isMessage).map((event) => {
      const item = document.createElement('li')
      item.textContent = `${open.getMember(event.getSender())?.name}: ${event.getContent().body}`
      return item
    }))
  }
  const end = (text) => {
    client.stopClient()
    element('session').hidden = true
    say(text)
  }
  client.on(ClientEvent.Sync, (state, _, data) => {
    say(data?.error ? `${state}: ${data.error.message}` : state)
    draw()
  })
  client.once(HttpApiEvent.SessionLoggedOut, () => end('the server has ended the session'))
  element('message').onsubmit = (event) => {
    event.preventDefault()
    client.sendTextMessage(open.roomId, element('text').value).then(draw, report)
  }
  element('sign-out').onclick = () => client.logout(true).then(() => end('signed out'), report)
  await client.startClient({ slidingSync: sync })
}

const isMessage = (event) => event.getType() === 'm.room.message'

const lastText = (room) => room.getLiveTimeline().getEvents().findLast(isMessage)?.getContent().body ?? ''

const report = (error) => say(`failed: ${error.message}`)

element('start').onsubmit = (event) => {
  event.preventDefault()
  ask(element('homeserver').value, event.submitter.value || undefined).catch(report)
}
const answer = new URLSearchParams(location.hash.slice(1))
if (answer.has('state')) complete(answer).catch(report)
else element('start').hidden = false
