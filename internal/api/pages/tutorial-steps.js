// The steps: what each explains, asks for, sends, and does with the answer.

import { path } from './tutorial-request.js';
import { nextTransaction, state } from './tutorial-state.js';

const room = { name: 'room', label: 'Room', initial: () => state.room, placeholder: '!…', comesFrom: 'create' };

export function other(person) {
  return state.people.find((p) => p !== person);
}

function takeSession(person, answer) {
  person.userId = answer.user_id;
  person.deviceId = answer.device_id;
  person.token = answer.access_token;
}

function account(person) {
  return [
    { name: 'username', label: 'User name', initial: () => person.username },
    { name: 'password', label: 'Password', initial: () => person.password },
  ];
}

function members(answer) {
  const joined = answer.chunk.filter((e) => e.content.membership === 'join').length;
  const invited = answer.chunk.filter((e) => e.content.membership === 'invite').length;
  return `${joined} joined${invited ? `, ${invited} invited` : ''}: ${answer.chunk.map((e) => e.state_key).join(', ')}`;
}

// Each step has a name, a title, a sentence or two on why, and the text of its
// button; fields(person), of which each may name the step that its value comes from; request(person, input), which must be the same each time
// until the step is done; and accept(person, answer, input), which takes the answer
// over and may return a sentence about it.
export const steps = [
  {
    name: 'register',
    title: 'Register',
    why: 'An account starts here. The server wants to know how you prove who you are; the dummy stage proves nothing, which an open server accepts.',
    button: 'Register',
    fields: account,
    request: (person, { username, password }) => ({
      method: 'POST', url: path`/register`, body: { username, password, auth: { type: 'm.login.dummy' } },
    }),
    accept(person, answer, input) {
      Object.assign(person, input);
      takeSession(person, answer);
      return `You are ${answer.user_id}. The access token goes with every further request.`;
    },
  },
  {
    name: 'login',
    title: 'Log in',
    why: 'Registering has logged you in already. Logging in again adds another device, with a token of its own, which this page uses from then on.',
    button: 'Log in',
    fields: account,
    request: (person, { username, password }) => ({
      method: 'POST',
      url: path`/login`,
      body: { type: 'm.login.password', identifier: { type: 'm.id.user', user: username }, password },
    }),
    accept(person, answer, input) {
      Object.assign(person, input);
      takeSession(person, answer);
      return `This is device ${answer.device_id}.`;
    },
  },
  {
    name: 'listen',
    title: 'Listen for events',
    why: 'A sync returns what is new. With a timeout the server holds the answer back until something happens: do that in a loop, and you are live.',
    button: 'Start listening',
    buttonAgain: 'Stop listening',
    fields: () => [],
    request: (person) => ({ method: 'GET', url: `${path`/sync`}?timeout=30000`, token: person.token }),
  },
  {
    name: 'create',
    title: 'Create a room',
    why: 'The user who creates a room is its first member. The preset says who may come in: to a private chat, only those who are invited.',
    button: 'Create the room',
    fields: () => [{ name: 'title', label: 'Name of the room', initial: () => 'Tea at four' }],
    request: (person, { title }) => ({
      method: 'POST', url: path`/createRoom`, token: person.token, body: { name: title, preset: 'private_chat' },
    }),
    accept(person, answer) {
      state.room = answer.room_id;
      return 'The steps below use this room now, for both people.';
    },
  },
  {
    name: 'invite',
    title: 'Invite somebody',
    why: 'Members of the room may invite others. The client of the invited user gets the invite by sync.',
    button: 'Send the invite',
    fields: (person) => [room, { name: 'user', label: 'Whom', initial: () => other(person).userId, placeholder: '@…', comesFrom: 'register' }],
    request: (person, input) => ({
      method: 'POST', url: path`/rooms/${input.room}/invite`, token: person.token, body: { user_id: input.user },
    }),
    accept: (person, answer, input) => `${input.user} may join now.`,
  },
  {
    name: 'join',
    title: 'Join a room',
    why: 'An invite opens the door; joining goes through it. Anybody may join a public room, by its ID or by an alias such as #tea:example.org.',
    button: 'Join',
    fields: () => [room],
    request: (person, input) => ({ method: 'POST', url: path`/join/${input.room}`, token: person.token, body: {} }),
    accept: () => 'You are a member: you can send, and you see what others send.',
  },
  {
    name: 'send',
    title: 'Send a message',
    why: 'A message is an event of type m.room.message. The transaction ID at the end of the path is made up by you: if you repeat a request with it, the message is still there only once.',
    button: 'Send',
    fields: (person) => [room, {
      name: 'body', label: 'Message', initial: () => (person.name === 'Alice' ? 'Hello Bob! Can you see this?' : 'Yes, the moment you sent it.'),
    }],
    request(person, input) {
      person.transaction ||= nextTransaction();
      return {
        method: 'PUT',
        url: path`/rooms/${input.room}/send/m.room.message/${person.transaction}`,
        token: person.token,
        body: { msgtype: 'm.text', body: input.body },
      };
    },
    accept(person) {
      person.transaction = '';
      return state.people.some((p) => p.listening)
        ? 'Sent. Everybody who listens has it by now: look at what Alice and Bob see.'
        : 'Sent. Nobody listens yet: let somebody listen, in step 3, to see messages arrive.';
    },
  },
  {
    name: 'members',
    title: 'List the members',
    why: 'Each member is a state event, m.room.member, whose state key is the user. Here are those of the room.',
    button: 'Get the members',
    fields: () => [room],
    request: (person, input) => ({ method: 'GET', url: path`/rooms/${input.room}/members`, token: person.token }),
    accept: (person, answer) => members(answer),
  },
  {
    name: 'history',
    title: 'Read the history',
    why: 'Backwards from now, or from the token in “from”. Each answer ends with a token where the next one goes on; at the beginning of the room there is none.',
    button: 'Get the events',
    fields: (person) => [room, { name: 'from', label: 'From', initial: () => person.historyFrom ?? '', placeholder: 'now', optional: true }],
    request: (person, input) => ({
      method: 'GET',
      url: `${path`/rooms/${input.room}/messages`}?dir=b&limit=5${input.from ? `&from=${encodeURIComponent(input.from)}` : ''}`,
      token: person.token,
    }),
    accept(person, answer) {
      person.historyFrom = answer.end ?? '';
      delete person.inputs.history?.from;
      return answer.end
        ? `${answer.chunk.length} events. Press again for older ones: “From” holds the token now.`
        : `${answer.chunk.length} events, and the room began with them.`;
    },
  },
  {
    name: 'leave',
    title: 'Leave the room',
    why: 'A user who leaves gets no further events of the room, and can still read what was there before.',
    button: 'Leave',
    fields: () => [room],
    request: (person, input) => ({ method: 'POST', url: path`/rooms/${input.room}/leave`, token: person.token, body: {} }),
    accept: () => 'You have left. To come back, you have to be invited again.',
  },
  {
    name: 'logout',
    title: 'Log out',
    why: 'This ends the device, and its token is worth nothing any more. The account stays.',
    button: 'Log out',
    endsListening: true,
    fields: () => [],
    request: (person) => ({ method: 'POST', url: path`/logout`, token: person.token, body: {} }),
    accept(person) {
      Object.assign(person, { token: '', deviceId: '', listening: false });
      return 'Logged out. Log in to go on.';
    },
  },
];

// tour is the order that the guide leads through: the person's number and the step.
export const tour = [
  [0, 'register'], [1, 'register'], [0, 'login'], [0, 'listen'], [1, 'listen'], [0, 'create'], [0, 'invite'], [1, 'join'],
  [0, 'send'], [1, 'send'], [0, 'members'], [1, 'history'], [1, 'leave'], [0, 'logout'],
];
