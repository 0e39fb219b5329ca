// Keeps a page that is served by a coordinator up to date: what is under way is put in place as it comes; where more has
// changed, the page is loaded again.
(() => {
  const live = document.getElementById('live');
  if (live === null) return;
  const events = new EventSource(live.dataset.events);
  events.addEventListener('live', ({ data }) => {
    live.innerHTML = JSON.parse(data);
  });
  events.addEventListener('changed', () => {
    events.close();
    location.reload();
  });
})();
