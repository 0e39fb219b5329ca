// What a report can do beside being read: tell numbers where one points, sort and filter tables, light up a fold.
// Everything it needs is in the page; without it the page is complete.
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  // What is in the page is fitted out at once; what comes later as it comes (see live.js).
  const fittings = [];
  document.addEventListener('crossfold:fit', ({ target }) => {
    hideTip();
    for (const fit of fittings) fit(target);
  });

  // Numbers of what one points at.
  const tip = document.getElementById('tip');
  const hideTip = () => {
    tip.hidden = true;
  };
  document.addEventListener('pointermove', (event) => {
    const target = event.target instanceof Element ? event.target.closest('[data-tip]') : null;
    if (target === null) {
      hideTip();
      return;
    }
    tip.textContent = target.getAttribute('data-tip');
    tip.hidden = false;
    const { width, height } = tip.getBoundingClientRect();
    const left = event.clientX + 14 + width > innerWidth ? event.clientX - width - 14 : event.clientX + 14;
    const top = Math.min(event.clientY + 14, innerHeight - height - 8);
    tip.style.transform = `translate(${Math.max(4, left)}px, ${Math.max(4, top)}px)`;
  });
  document.addEventListener('pointerleave', hideTip);
  document.addEventListener('scroll', hideTip, { passive: true });
  document.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') hideTip();
  });

  // A fold or a trial, wherever it is drawn, lights up with its row and its points.
  const light = (key, on) => {
    for (const element of all('[data-key]')) if (element.dataset.key === key) element.classList.toggle('lit', on);
  };
  fittings.push((root) => {
    for (const element of all('tr[data-key], circle[data-key], .line[data-key]', root)) {
      element.addEventListener('pointerenter', () => light(element.dataset.key, true));
      element.addEventListener('pointerleave', () => light(element.dataset.key, false));
    }
  });

  // What is wider than the window is scrolled by keyboard as well: where nothing in it can be focused, it can be itself.
  const fitArea = (area) => {
    const isCut = area.scrollWidth > area.clientWidth && area.querySelector('a[href], button') === null;
    if (!isCut) for (const name of ['tabindex', 'role', 'aria-label']) area.removeAttribute(name);
    else {
      const named = area.querySelector('caption') ?? area.closest('figure')?.querySelector('h3');
      area.tabIndex = 0;
      area.setAttribute('role', 'group');
      area.setAttribute('aria-label', named?.textContent ?? 'scrolls sideways');
    }
  };
  const widths = new ResizeObserver((entries) => {
    for (const { target } of entries) fitArea(target);
  });
  fittings.push((root) => {
    for (const area of all('.scroll', root)) {
      fitArea(area);
      widths.observe(area);
    }
  });

  // Tables to sort: by number where cells have one, by text otherwise.
  const sortKey = (row, column) => {
    const cell = row.cells[column];
    const text = cell?.dataset.value ?? cell?.textContent.trim() ?? '';
    const number = Number(text);
    return text !== '' && !Number.isNaN(number) ? number : text;
  };
  const order = (a, b) => {
    if (typeof a === 'number' && typeof b === 'number') return a - b;
    if (typeof a === 'number') return -1;
    if (typeof b === 'number') return 1;
    return a.localeCompare(b, undefined, { numeric: true });
  };
  fittings.push((root) => {
    for (const table of all('table.sortable', root)) {
      const heads = all('thead tr:last-child > th[scope="col"]', table);
      for (const head of heads) {
        const button = document.createElement('button');
        button.type = 'button';
        button.append(...head.childNodes);
        head.append(button);
        button.addEventListener('click', () => {
          const before = head.getAttribute('aria-sort');
          // Numbers are wanted largest first, names in order.
          const firstDown = !head.classList.contains('text');
          const down = before === null ? firstDown : before === 'ascending';
          for (const other of heads) other.removeAttribute('aria-sort');
          head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
          const body = table.tBodies[0];
          const column = head.cellIndex;
          const sorted = [...body.rows].sort((a, b) => order(sortKey(a, column), sortKey(b, column)));
          body.append(...(down ? sorted.reverse() : sorted));
        });
      }
    }
  });

  // Tables to filter: rows that have all the words.
  fittings.push((root) => {
    for (const input of all('input[data-filters]', root)) {
      const table = document.getElementById(input.dataset.filters);
      const said = document.getElementById(input.getAttribute('aria-describedby'));
      input.closest('.tools').hidden = false;
      input.addEventListener('input', () => {
        const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
        const rows = [...table.tBodies[0].rows];
        for (const row of rows) {
          const text = row.textContent.toLowerCase();
          row.hidden = !words.every((word) => text.includes(word));
        }
        const shown = rows.filter((row) => !row.hidden).length;
        said.textContent = words.length === 0 ? '' : `${shown} of ${rows.length} shown`;
        for (const row of rows)
          for (const line of all(`.line[data-key="${row.dataset.key}"]`)) line.classList.toggle('faded', row.hidden);
      });
    }
  });

  // Counts of a matrix, or each as a share of its row.
  fittings.push((root) => {
    for (const button of all('button.shares', root)) {
      button.hidden = false;
      button.addEventListener('click', () => {
        const shares = button.getAttribute('aria-pressed') !== 'true';
        button.setAttribute('aria-pressed', String(shares));
        for (const cell of all('.matrix td[data-share]')) {
          cell.dataset.count ??= cell.textContent;
          cell.textContent = shares ? cell.dataset.share : cell.dataset.count;
        }
      });
    }
  });

  // Texts to copy.
  fittings.push((root) => {
    for (const holder of all('.copy', root)) {
      if (!navigator.clipboard) break;
      const button = document.createElement('button');
      button.type = 'button';
      button.textContent = 'copy';
      button.addEventListener('click', async () => {
        try {
          await navigator.clipboard.writeText(holder.querySelector('pre').textContent);
          button.textContent = 'copied';
        } catch {
          getSelection().selectAllChildren(holder.querySelector('pre'));
          button.textContent = 'selected';
        }
        setTimeout(() => {
          button.textContent = 'copy';
        }, 1500);
      });
      holder.append(button);
    }
  });

  // On paper nothing can be unfolded; the other trials are too many to be all shown.
  const unfolded = new Set();
  addEventListener('beforeprint', () => {
    for (const details of all('details:not([open], .trial)')) {
      unfolded.add(details);
      details.open = true;
    }
  });
  addEventListener('afterprint', () => {
    for (const details of unfolded) details.open = false;
    unfolded.clear();
  });

  for (const fit of fittings) fit(document);
})();
