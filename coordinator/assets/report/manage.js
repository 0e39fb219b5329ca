// Cancels or resumes an experiment for whoever has the coordinator's token. The token is kept for this tab alone, and sent
// in a header, which no page but this coordinator's own can make a browser do.
(() => {
  const kept = 'crossfold-token';
  const confirmed = 'Cancel this experiment? What is computed stays, and it can be resumed.';
  const said = document.createElement('p');
  said.id = 'managed';
  said.setAttribute('role', 'status');
  document.body.append(said);
  let token = sessionStorage.getItem(kept) ?? '';

  const show = () => {
    for (const part of document.querySelectorAll('#manage .locked')) part.hidden = token !== '';
    for (const part of document.querySelectorAll('#manage .unlocked')) part.hidden = token === '';
  };
  const keep = (text) => {
    token = text;
    if (text === '') sessionStorage.removeItem(kept);
    else sessionStorage.setItem(kept, text);
    show();
  };
  const post = async (path, authorization) => {
    const headers = { authorization: `Bearer ${authorization}`, 'content-type': 'application/json' };
    try {
      const { ok, status, text } = await fetch(path, { method: 'POST', headers, body: '{}' }).then(
        async (response) => ({
          ok: response.ok,
          status: response.status,
          text: await response.text(),
        }),
      );
      if (status === 401) keep('');
      said.textContent = text.trim();
      return ok;
    } catch {
      said.textContent = 'The coordinator does not answer; try again.';
      return false;
    }
  };

  const actions = {
    async unlock({ input }) {
      const given = input.value.trim();
      if (!/^[!-~]+$/.test(given)) {
        said.textContent = 'A token has visible ASCII characters, and no spaces.';
        return;
      }
      if (await post('/token', given)) {
        input.value = '';
        keep(given);
        document.querySelector('#manage .unlocked button')?.focus();
      }
    },
    async cancel({ path }) {
      if (confirm(confirmed)) await post(path, token);
    },
    async resume({ path }) {
      // What is under way has another page.
      if (await post(path, token)) location.reload();
    },
    async forget() {
      keep('');
      said.textContent = 'The token is forgotten.';
    },
  };
  const act = (button) => {
    const input = button.closest('#manage').querySelector('input');
    return actions[button.dataset.do]({ input, path: button.dataset.path });
  };
  document.addEventListener('click', ({ target }) => {
    const button = target instanceof Element ? target.closest('#manage button') : null;
    if (button !== null) void act(button);
  });
  document.addEventListener('keydown', ({ key, target }) => {
    if (key === 'Enter' && target instanceof Element && target.matches('#manage input'))
      void act(target.closest('#manage').querySelector('[data-do="unlock"]'));
  });
  document.addEventListener('crossfold:fit', show);
  show();
})();
