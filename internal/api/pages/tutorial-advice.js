// What to do about a step that did not work, in one sentence or two. The answer of the server stands below it.

import { Refused } from './tutorial-request.js';
import { other, steps } from './tutorial-steps.js';

function stepCalled(name) {
  const at = steps.findIndex((step) => step.name === name);
  return `step ${at + 1}, “${steps[at].title}”`;
}

// accountFirst says how a person without a token gets one.
function accountFirst(person) {
  return person.userId
    ? `${person.name} is logged out: take ${stepCalled('login')}, first.`
    : `${person.name} has no account yet: take ${stepCalled('register')}, first.`;
}

// whatIsMissing says why a step can't be taken yet, where one of its fields is empty.
export function whatIsMissing(person, field) {
  if (!person.token && field.comesFrom) return accountFirst(person);
  const empty = `“${field.label}” is empty`;
  switch (field.comesFrom) {
    case 'create': return `${empty}: take ${stepCalled('create')}, first.`;
    case 'register': return `${empty}: let ${other(person).name} take ${stepCalled('register')}, first.`;
    default: return `${empty}.`;
  }
}

// By error code: what takes the place of the message of the server.
const inOtherWords = {
  M_USER_IN_USE: () => 'Somebody has this name already. If it is you, log in; otherwise choose another.',
  M_INVALID_USERNAME: () => 'A user name has lower-case letters, digits, and . _ - = / + only.',
  M_UNKNOWN_TOKEN: () => `This token has ended: take ${stepCalled('login')}, to get another.`,
  M_MISSING_TOKEN: accountFirst,
  M_LIMIT_EXCEEDED: () => 'That was too often in a short time. Wait a moment.',
};

// By error code: what the message of the server does not say.
const besides = {
  M_NOT_FOUND: 'Look whether the room is right: a room ID begins with an exclamation mark.',
  M_FORBIDDEN: 'Has this person been invited, and joined?',
};

const refusals = {
  register: 'Strangers cannot register on this server. Use accounts that its operator makes for you, and log in.',
  login: 'Look whether name and password are right, and whether the account is registered.',
};

// explain says in words what to do about a failure of a step.
export function explain(failure, step, person) {
  if (!(failure instanceof Refused)) return failure.message;
  const { status, code, answer, message } = failure;
  if (status === 401 && answer?.flows) {
    return 'This server wants more proof than the dummy stage: “flows” in the answer lists it. Use an account that you have, and log in.';
  }
  if (code === 'M_FORBIDDEN' && refusals[step]) return refusals[step];
  if (inOtherWords[code]) return inOtherWords[code](person);
  return `${message}. ${besides[code] ?? ''}`.replace(/([.!?])\.\s/, '$1 ').trim();
}
