// Requests: as they are sent, and as the curl command that does the same.

export const prefix = '/_matrix/client/v3';

// path puts values into a path; each is one part of it, whatever it contains.
export function path(strings, ...values) {
  return prefix + strings.reduce((whole, text, i) => whole + encodeURIComponent(values[i - 1]) + text);
}

function quote(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

// curl writes a request as a command for a POSIX shell.
export function curl({ method, url, token, body }) {
  const parts = [method === 'GET' ? 'curl' : `curl -X ${method}`];
  if (token) parts.push(`-H ${quote(`Authorization: Bearer ${token}`)}`);
  if (body !== undefined) parts.push(`-d ${quote(JSON.stringify(body))}`);
  parts.push(quote(window.location.origin + url));
  return parts.join(' \\\n  ');
}

// Refused is an answer that is an error.
export class Refused extends Error {
  constructor(status, answer) {
    super(answer?.error ?? 'The server did not accept this.');
    this.status = status;
    this.code = answer?.errcode ?? '';
    this.answer = answer;
  }
}

// Unreachable is no answer at all.
export class Unreachable extends Error {}

// send sends a request and gives status and JSON of the answer, whatever they are.
export async function send({ method, url, token, body }, signal) {
  const headers = {};
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  try {
    const answer = await fetch(url, { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body) });
    return { status: answer.status, answer: await answer.json() };
  } catch (failure) {
    if (failure.name === 'AbortError') throw failure;
    throw new Unreachable('The server cannot be reached, or did not answer with JSON.');
  }
}

// ask sends a request and gives the JSON of a good answer.
export async function ask(request, signal) {
  const { status, answer } = await send(request, signal);
  if (status !== 200) throw new Refused(status, answer);
  return answer;
}

const advice = {
  M_USER_IN_USE: 'Somebody has this name already. If it is you, log in; otherwise choose another.',
  M_INVALID_USERNAME: 'A user name has lower-case letters, digits, and . _ - = / + only.',
  M_WEAK_PASSWORD: 'Choose a longer password.',
  M_UNKNOWN_TOKEN: 'This token has ended. Log in again to get another.',
  M_MISSING_TOKEN: 'Register or log in first: every other request needs an access token.',
  M_NOT_FOUND: 'Look whether the room is right: a room ID begins with an exclamation mark.',
  M_LIMIT_EXCEEDED: 'That was too often in a short time. Wait a moment.',
};

// explain says in words what to do about a failure of a step.
export function explain(failure, step) {
  if (!(failure instanceof Refused)) return failure.message;
  if (failure.status === 401 && failure.answer?.flows) {
    return 'This server wants more proof than the dummy stage: “flows” in the answer lists it. Use an account that you have, and log in.';
  }
  let tip = advice[failure.code] ?? '';
  if (failure.code === 'M_FORBIDDEN') {
    tip = {
      register: 'Strangers cannot register on this server. Use accounts that its operator makes for you, and log in.',
      login: 'Look whether name and password are right, and whether the account is registered.',
    }[step] ?? 'Only members may do that here. Has this person been invited, and joined?';
  }
  return `${failure.message}. ${tip}`.replace(/([.!?])\.\s/, '$1 ').trim();
}
