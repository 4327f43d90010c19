// The fallback of interactive authentication: sends the form without leaving the
// page, so that what the app has set on this window stays, and calls the app when
// the stage is done. Client-server API, "Fallback".
'use strict';

(() => {
  function tellApp() {
    if (window.onAuthDone) {
      window.onAuthDone();
    } else if (window.opener && window.opener.postMessage) {
      window.opener.postMessage('authDone', '*');
    }
  }

  async function send(event) {
    const form = event.target;
    event.preventDefault();
    form.querySelector('button').disabled = true;
    try {
      const answer = await fetch(window.location.href, { method: 'POST', body: new URLSearchParams(new FormData(form)) });
      const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
      document.title = page.title;
      document.querySelector('main').replaceWith(page.querySelector('main'));
    } catch {
      form.submit(); // the browser says best what is wrong with the connection
      return;
    }
    begin();
  }

  function begin() {
    const form = document.getElementById('stage');
    if (form) form.addEventListener('submit', send);
    document.querySelector('main [autofocus]')?.focus();
    if (document.getElementById('auth-done')) tellApp();
  }

  begin();
})();
