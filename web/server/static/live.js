// What pages that show changes share: following a stream of lines, and putting what a line shows
// into the page. Whatever is shown was made and escaped by the server.
"use strict";
const Diecast = (() => {
  const byId = (id) => document.getElementById(id);
  const sleep = (ms, signal) => new Promise((done) => {
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", () => { clearTimeout(timer); done(); }, { once: true });
  });

  // shown is what each part shows: a part that stays the same is left alone, with its focus.
  const shown = new Map();
  const reachable = "a[href], button, input, summary, [tabindex]";

  // put a part of the page, and keep focus and what was opened.
  function put(id, html) {
    const part = byId(id);
    if (!part || shown.get(id) === html) return;
    shown.set(id, html);
    const focus = [...part.querySelectorAll(reachable)].indexOf(document.activeElement);
    const opened = new Map([...part.querySelectorAll("details[id]")].map((one) => [one.id, one.open]));
    part.innerHTML = html;
    for (const one of part.querySelectorAll("details[id]")) {
      if (opened.has(one.id)) one.open = opened.get(one.id);
    }
    if (focus >= 0) {
      const all = part.querySelectorAll(reachable);
      (all[Math.min(focus, all.length - 1)] || part).focus({ preventScroll: true });
    }
  }

  // forget what a part shows, because it was changed otherwise.
  const forget = (id) => shown.delete(id);

  function say(words, kind) {
    const state = byId("state");
    if (state.textContent !== words) state.textContent = words;
    state.className = "age " + kind;
  }

  // Lines come at least every 15 s; a connection without one for so long is dead.
  const silence = 35000;
  // A page that nobody sees gives its connection back after a while: a browser has six of them.
  const hiddenFor = 30000;

  async function* lines(body, alive) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      alive();
      const parts = (rest + value).split("\n");
      rest = parts.pop();
      for (const part of parts) if (part) yield JSON.parse(part);
    }
  }

  // follow a stream until stop is called on what is returned. headers say who is asked for.
  function follow(address, headers, told) {
    let stopped = false;
    let cut = new AbortController(); // the connection, or the wait for the next
    let failures = 0;
    const wakeUp = () => cut.abort();

    async function connect() {
      const connection = cut = new AbortController();
      let watch;
      const alive = () => {
        clearTimeout(watch);
        watch = setTimeout(() => connection.abort(), silence);
      };
      try {
        alive();
        const answer = await fetch(address, {
          headers, cache: "no-store", redirect: "manual", signal: connection.signal,
        });
        if (answer.type === "opaqueredirect" || answer.status === 401) {
          say("Your login has run out: load the page again", "stale");
          return { over: true };
        }
        if (answer.status >= 400 && answer.status < 500 && answer.status !== 429) {
          say("Refused: " + (await answer.text()).trim(), "stale");
          return { over: true };
        }
        if (!answer.ok) return { wait: Number(answer.headers.get("Retry-After")) || 0 };
        say("Live", "");
        for await (const line of lines(answer.body, alive)) {
          failures = 0;
          if (line.end) return { planned: true };
          for (const [id, html] of Object.entries(line.show || {})) put(id, html);
          if (line.said) byId("said").textContent = line.said;
          if (told) told(line);
        }
        return {};
      } catch {
        return {};
      } finally {
        clearTimeout(watch);
        connection.abort();
      }
    }

    async function run() {
      while (!stopped) {
        if (document.hidden && paused) {
          say("Paused while nobody looks", "late");
          cut = new AbortController();
          await sleep(1 << 30, cut.signal);
          continue;
        }
        const how = await connect();
        if (stopped || how.over) return;
        if (how.planned || paused) continue;
        failures++;
        const wait = Math.max(Math.min(10000, 125 * 2 ** failures) * (0.75 + Math.random() / 2), 1000 * (how.wait || 0));
        say(failures > 1 || how.wait ? "Connection lost: trying again" : "Reconnecting", "late");
        cut = new AbortController();
        await sleep(wait, cut.signal);
      }
    }

    let paused = false;
    let leaving;
    function seen() {
      clearTimeout(leaving);
      if (document.hidden) {
        leaving = setTimeout(() => { paused = true; wakeUp(); }, hiddenFor);
      } else if (paused) {
        paused = false;
        wakeUp();
      }
    }
    document.addEventListener("visibilitychange", seen);
    window.addEventListener("online", wakeUp);
    run();
    return {
      stop() {
        stopped = true;
        clearTimeout(leaving);
        document.removeEventListener("visibilitychange", seen);
        window.removeEventListener("online", wakeUp);
        cut.abort();
      },
    };
  }

  return { byId, follow, forget, put, say, sleep };
})();
