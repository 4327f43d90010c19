// The login fallback: logs in, and hands the answer of the server to the app that
// has opened this page, which sets window.matrixLogin.onLogin whenever it likes
// before the form is sent. Client-server API, "Login Fallback".
'use strict';

window.matrixLogin = window.matrixLogin || {};

(() => {
  const form = document.getElementById('login');
  const button = form.querySelector('button');
  const error = document.getElementById('error');

  function requestBody() {
    const { user, password, ...forwarded } = Object.fromEntries(new FormData(form));
    if (forwarded.refresh_token) forwarded.refresh_token = forwarded.refresh_token === 'true';
    return {
      ...forwarded,
      type: 'm.login.password',
      identifier: { type: 'm.id.user', user },
      password,
    };
  }

  async function login() {
    const answer = await fetch('/_matrix/client/v3/login', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(requestBody()),
    });
    const response = await answer.json();
    if (!answer.ok) throw new Error(response.error || 'The server did not accept this.');
    return response;
  }

  function show(response) {
    const taken = typeof window.matrixLogin.onLogin === 'function';
    form.hidden = true;
    document.getElementById('about').hidden = true;
    document.title = document.querySelector('h1').textContent = 'Logged in';
    document.getElementById('who').textContent = response.user_id;
    document.getElementById('result').hidden = false;
    document.getElementById('result').focus();
    if (taken) {
      window.matrixLogin.onLogin(response);
      return;
    }
    document.getElementById('handed-over').hidden = true;
    document.getElementById('by-hand').hidden = false;
    document.getElementById('device').textContent = response.device_id;
    document.getElementById('response').textContent = JSON.stringify(response, null, 2);
  }

  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    button.disabled = true;
    error.hidden = true;
    let response;
    try {
      response = await login();
    } catch (failure) {
      error.textContent = failure instanceof TypeError ? 'The server cannot be reached. Try again in a moment.' : failure.message;
      error.hidden = false;
      document.getElementById('password').select();
      return;
    } finally {
      button.disabled = false;
    }
    show(response);
  });
})();
