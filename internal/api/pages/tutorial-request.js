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

// send sends a request and returns status and JSON of the answer, whatever they are.
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

// ask sends a request and returns the JSON of a good answer.
export async function ask(request, signal) {
  const { status, answer } = await send(request, signal);
  if (status !== 200) throw new Refused(status, answer);
  return answer;
}
