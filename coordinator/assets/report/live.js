// Keeps a page that a coordinator serves up to date where it is: how things stand is put in place as it comes, and once
// there is more to report, the parts of the page that differ are exchanged for new ones. What the reader has typed,
// sorted, opened, focused or scrolled to stays. It has to run before report.js, which fits out the page as it was served.
(() => {
  const live = document.getElementById('live');
  if (live === null) return;
  const retryMs = 3000;
  const main = document.querySelector('main');
  const all = (selector, within) => [...within.querySelectorAll(selector)];

  // What is to be noticed: that nothing is heard any more, for everybody; that there is more, for who listens.
  const status = (id, className) => {
    const element = document.createElement('p');
    Object.assign(element, { id, className });
    element.setAttribute('role', 'status');
    document.body.append(element);
    return (text) => {
      if (element.textContent !== text) element.textContent = text;
    };
  };
  const sayContact = status('contact', '');
  const sayNews = status('news', 'away');

  // Parts of the page by name, and the markup that each was served as.
  const nameOf = (part) => part.id || part.getAttribute('aria-labelledby') || part.localName + part.className;
  const served = new Map([...main.children].map((part) => [nameOf(part), part.outerHTML]));

  // What a reader has set in a part, each found again by its place within what is named.
  const focusable = 'a[href], button, input, summary, [tabindex]';
  const scrollable = '.scroll, pre';
  const placeOf = (element, selector, part) => {
    const within = element.closest('[data-name]');
    return { within: within?.dataset.name, at: all(selector, within ?? part).indexOf(element) };
  };
  const at = (place, selector, part) => {
    const scope = place.within === undefined ? part : part.querySelector(`[data-name="${CSS.escape(place.within)}"]`);
    return scope === null ? undefined : all(selector, scope)[place.at];
  };
  const remember = (part) => {
    const { activeElement: active } = document;
    const hasFocus = active !== null && active !== part && part.contains(active);
    return {
      opened: all('details[data-name]', part).map(({ open, dataset }) => ({ open, name: dataset.name })),
      pressed: all('button.shares[aria-pressed="true"]', part).length > 0,
      sorted: all('th[aria-sort]', part).map((head) => ({
        place: placeOf(head.closest('table'), 'table', part),
        text: head.textContent,
        way: head.getAttribute('aria-sort'),
      })),
      typed: all('input', part).map(({ value }, i) => ({ value, place: { at: i } })),
      scrolled: all(scrollable, part)
        .filter(({ scrollLeft, scrollTop }) => scrollLeft !== 0 || scrollTop !== 0)
        .map((element) => ({
          place: placeOf(element, scrollable, part),
          left: element.scrollLeft,
          top: element.scrollTop,
        })),
      focused: hasFocus ? placeOf(active, focusable, part) : undefined,
      selected: hasFocus && active.localName === 'input' ? [active.selectionStart, active.selectionEnd] : undefined,
    };
  };
  const restore = (part, state) => {
    for (const { open, name } of state.opened) {
      const details = part.querySelector(`details[data-name="${CSS.escape(name)}"]`);
      if (details !== null) details.open = open;
    }
    if (state.pressed) part.querySelector('button.shares')?.click();
    for (const { place, text, way } of state.sorted) {
      const table = at(place, 'table', part);
      const head = table === undefined ? undefined : all('th', table).find((each) => each.textContent === text);
      // At most twice: down, then up, or the other way round.
      for (let i = 0; i < 2 && head !== undefined && head.getAttribute('aria-sort') !== way; i++)
        head.querySelector('button')?.click();
    }
    for (const { value, place } of state.typed) {
      const input = at(place, 'input', part);
      if (input === undefined || value === '') continue;
      input.value = value;
      input.dispatchEvent(new Event('input'));
    }
    for (const { place, left, top } of state.scrolled) at(place, scrollable, part)?.scrollTo(left, top);
    const focused = state.focused === undefined ? undefined : at(state.focused, focusable, part);
    focused?.focus({ preventScroll: true });
    if (focused?.localName === 'input' && state.selected !== undefined) focused.setSelectionRange(...state.selected);
  };

  // What is looked at stays where it is while what lies above it grows; the browser's own way of it would add to ours.
  document.documentElement.style.overflowAnchor = 'none';
  const landmarks = 'h1, h2, h3, caption, summary, input, figcaption, pre';
  const topOf = (element) => element.getBoundingClientRect().top;
  const isInView = (element) =>
    element.checkVisibility() && topOf(element) >= 0 && topOf(element) < document.documentElement.clientHeight;
  const lookedAt = () => {
    const { activeElement: active } = document;
    return active?.matches(landmarks) && isInView(active) ? active : all(landmarks, main).find(isInView);
  };
  const steadily = (change) => {
    const mark = scrollY > 0 ? lookedAt() : undefined;
    const part = mark?.closest('main > *');
    const found = mark && { top: topOf(mark), part: nameOf(part), place: placeOf(mark, landmarks, part) };
    change();
    if (found === undefined) return;
    const now = [...main.children].find((each) => nameOf(each) === found.part);
    const again = now === undefined ? undefined : at(found.place, landmarks, now);
    if (again !== undefined) scrollBy(0, topOf(again) - found.top);
  };
  // Of a text that is being selected nothing is taken away.
  const isSelected = (part) => {
    const selection = getSelection();
    return selection !== null && !selection.isCollapsed && selection.containsNode(part, true);
  };

  const renewLive = (html) => {
    if (isSelected(live)) return;
    const state = remember(live);
    live.innerHTML = html;
    restore(live, state);
  };
  /** Takes over what differs in a page that was just served; says whether that was all. */
  const take = (fresh) => {
    const parts = [...fresh.querySelector('main').children].map((part) => [nameOf(part), part]);
    const names = new Set(parts.map(([name]) => name));
    for (const part of [...main.children]) if (!names.has(nameOf(part))) part.remove();
    let whole = true;
    parts.forEach(([name, part], i) => {
      const html = part.outerHTML;
      const old = main.children[i];
      const isThere = old !== undefined && nameOf(old) === name;
      if (isThere && name === 'live') {
        renewLive(part.innerHTML);
        return;
      }
      if (isThere && served.get(name) === html) return;
      if (isThere && isSelected(old)) {
        whole = false;
        return;
      }
      served.set(name, html);
      const state = isThere ? remember(old) : undefined;
      const own = document.adoptNode(part);
      if (isThere) old.replaceWith(own);
      else main.insertBefore(own, old ?? null);
      own.dispatchEvent(new CustomEvent('crossfold:fit', { bubbles: true }));
      if (state !== undefined) restore(own, state);
    });
    return whole;
  };

  let events;
  let isOver = false;
  let isFetching = false;
  let isWanted = false;
  const renew = async () => {
    isWanted = true;
    if (isFetching) return;
    isFetching = true;
    while (isWanted && !isOver) {
      isWanted = false;
      try {
        const response = await fetch(location.href, { cache: 'no-store' });
        if (!response.ok) throw new Error(await response.text());
        const fresh = new DOMParser().parseFromString(await response.text(), 'text/html');
        let whole = true;
        steadily(() => {
          whole = take(fresh);
        });
        document.title = fresh.title;
        isOver = fresh.getElementById('live') === null;
        if (isOver) events.close();
        sayContact('');
        sayNews(isOver ? 'The report is complete.' : (live.querySelector('.lead')?.textContent ?? ''));
        isWanted ||= !whole && !isOver;
      } catch {
        isWanted = true;
        away();
      }
      if (isWanted) await new Promise((resolve) => setTimeout(resolve, retryMs));
    }
    isFetching = false;
  };
  let since;
  const away = () => {
    since ??= new Date().toLocaleTimeString();
    sayContact(`The coordinator does not answer: this is how things stood at ${since}. It is asked again.`);
  };

  const listen = () => {
    events = new EventSource(live.dataset.events);
    events.addEventListener('open', () => {
      since = undefined;
      sayContact('');
    });
    events.addEventListener('live', ({ data }) => steadily(() => renewLive(JSON.parse(data))));
    events.addEventListener('changed', renew);
    events.addEventListener('error', () => {
      away();
      // The browser asks again by itself, unless it was answered that there are no events.
      if (events.readyState === EventSource.CLOSED && !isOver) setTimeout(listen, retryMs);
    });
  };
  listen();
})();
