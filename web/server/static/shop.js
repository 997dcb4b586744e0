// The shop's page. What a visitor is and has lies in this browser; each click is told to the
// platform as an event, and what it recommends comes back by a stream.
"use strict";
(() => {
  const { byId, follow, forget, put, sleep } = Diecast;
  const key = "diecast-shop";
  const mostBrowsed = 12, mostTries = 8, mostWaiting = 20;
  const firstGuest = Number(byId("shop").dataset.firstGuest);

  // A random UUID. Pages that came by plain HTTP have no crypto.randomUUID.
  function uuid() {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    const hex = [...bytes].map((one) => one.toString(16).padStart(2, "0")).join("");
    return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
  }

  const usual = { city: "Nantes", country: "France", credit: 21000, customer: null };
  const stranger = (who) => ({ session: uuid(), who, cart: [], browsed: [] });

  // What this browser keeps; two tabs share it.
  let mine;
  function load() {
    try {
      const kept = JSON.parse(localStorage.getItem(key));
      if (kept && kept.session && kept.who && Array.isArray(kept.cart) && Array.isArray(kept.browsed)) return kept;
    } catch { /* nothing is kept, or not by this page */ }
    return null;
  }
  function keep() {
    try { localStorage.setItem(key, JSON.stringify(mine)); } catch { /* this tab alone has it */ }
  }

  // --- Events --------------------------------------------------------------------------------------

  const waiting = []; // events that are not taken yet, each {event, tries}
  const sent = new Map(); // when the click was, by event
  let pumping = false;

  // Visitors without a number get one that no customer has, which follows from their session.
  const number = () => mine.who.customer ?? firstGuest + parseInt(mine.session.slice(0, 8), 16) % 500000000;

  function tell(type, began) {
    const event = {
      event_id: uuid(), event_type: type, schema_version: 1, session_id: mine.session, customer_number: number(),
      city: mine.who.city, country: mine.who.country, credit_limit: mine.who.credit,
      browse_history: [
        ...mine.cart.map((one) => ({ product_code: one.code, quantity: one.pieces, in_shopping_cart: true })),
        ...mine.browsed.filter((code) => !mine.cart.some((one) => one.code === code))
          .map((code) => ({ product_code: code, quantity: 1, in_shopping_cart: false })),
      ],
    };
    sent.set(event.event_id, began);
    waiting.push({ event, tries: 0 });
    if (waiting.length > mostWaiting) sent.delete(waiting.shift().event.event_id);
    pump();
  }

  function trouble(words) {
    const place = byId("trouble");
    place.replaceChildren();
    if (!words) return;
    const notice = document.createElement("div");
    notice.className = "notice warn";
    notice.textContent = words;
    place.append(notice);
  }

  async function pump() {
    if (pumping) return;
    pumping = true;
    while (waiting.length > 0) {
      const one = waiting[0];
      let wait = 0, words = "The shop does not answer.";
      try {
        const answer = await fetch("/shop/events", {
          method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(one.event),
          redirect: "manual",
        });
        if (answer.ok) {
          waiting.shift();
          trouble("");
          continue;
        }
        const told = await answer.json().catch(() => ({}));
        words = told.detail || words;
        if (answer.status < 500 && answer.status !== 429 && answer.status !== 0) {
          waiting.shift();
          sent.delete(one.event.event_id);
          trouble("Your click was refused: " + words);
          continue;
        }
        wait = Number(answer.headers.get("Retry-After")) || 0;
      } catch { /* there is no connection */ }
      if (++one.tries >= mostTries) {
        waiting.shift();
        sent.delete(one.event.event_id);
        trouble("Your click is given up after " + mostTries + " attempts. " + words);
        continue;
      }
      const next = Math.max(wait, Math.min(8, 0.5 * 2 ** one.tries));
      trouble(words + " Your click is sent again in " + Math.round(next) + " s.");
      await sleep(1000 * next, new AbortController().signal);
    }
    pumping = false;
  }

  // --- From click to recommendation ----------------------------------------------------------------

  const measured = [];
  function answered(line) {
    const began = sent.get(line.event);
    if (began === undefined) return;
    // What was clicked before has been overtaken.
    for (const id of [...sent.keys()]) {
      sent.delete(id);
      if (id === line.event) break;
    }
    requestAnimationFrame(() => {
      measured.push(performance.now() - began);
      const last = Math.round(measured.at(-1));
      const sorted = [...measured].sort((a, b) => a - b);
      const place = byId("took");
      place.dataset.last = String(last);
      place.dataset.count = String(measured.length);
      const took = document.createElement("b");
      took.textContent = last + " ms";
      place.replaceChildren("From your click to these recommendations: ", took,
        measured.length > 1
          ? ". Median of " + measured.length + " clicks: " + Math.round(sorted[Math.floor(sorted.length / 2)]) + " ms."
          : ".");
    });
  }

  // --- The page ------------------------------------------------------------------------------------

  const dollars = (cents) => "$" + (cents / 100).toLocaleString("en-US", { minimumFractionDigits: 2 });

  function draw() {
    const rows = mine.cart.map((one) => {
      const row = byId("cart-row").content.cloneNode(true).firstElementChild;
      row.dataset.code = one.code;
      const name = row.querySelector(".name");
      name.textContent = one.name;
      name.href = "/shop?product=" + encodeURIComponent(one.code);
      name.dataset.part = "";
      row.querySelector(".price").textContent = dollars(one.cents) + " each";
      const pieces = row.querySelector(".pieces");
      pieces.value = one.pieces;
      row.querySelector("label span").textContent = "Pieces of " + one.name;
      const remove = row.querySelector(".remove");
      remove.setAttribute("aria-label", "Remove " + one.name);
      return row;
    });
    byId("cart").replaceChildren(...rows);
    const pieces = mine.cart.reduce((sum, one) => sum + one.pieces, 0);
    for (const place of document.querySelectorAll(".cart-count")) {
      place.textContent = pieces === 0 ? "empty" : pieces === 1 ? "1 piece" : pieces + " pieces";
    }
    byId("cart-empty").hidden = pieces > 0;
    byId("cart-foot").hidden = pieces === 0;
    byId("cart-sum").textContent = dollars(mine.cart.reduce((sum, one) => sum + one.pieces * one.cents, 0));
    const { city, country, credit, customer } = mine.who;
    byId("city").value = city;
    byId("country").value = country;
    byId("credit").value = credit;
    if (byId("customer")) byId("customer").value = customer ?? "";
    byId("who").textContent = (customer === null ? "A visitor" : "Customer " + customer) + " from " +
      ([city, country].filter((one) => one).join(", ") || "nowhere") + ", credit limit " + dollars(100 * credit);
    byId("session-id").textContent = mine.session;
    if (byId("inside")) byId("inside").href = "/recommendations#session=" + mine.session;
  }

  function changed(type, began) {
    keep();
    draw();
    tell(type, began);
  }

  function viewed(began) {
    const product = document.querySelector("#catalogue [data-viewed]");
    if (!product) return;
    const code = product.dataset.viewed;
    mine.browsed = [code, ...mine.browsed.filter((one) => one !== code)].slice(0, mostBrowsed);
    changed("view", began);
  }

  let shownAddress = location.pathname + location.search;

  // open a part of the catalogue without leaving the page.
  async function open(address, began, back) {
    let part;
    try {
      const answer = await fetch(address, { headers: { "Diecast-Part": "catalogue" }, redirect: "manual" });
      // A balancer may answer in the server's stead.
      if (answer.headers.get("Diecast-Part") !== "catalogue") throw new Error("no part of this page");
      part = await answer.text();
    } catch {
      location.href = address; // the browser says what is wrong
      return;
    }
    if (!back) history.pushState(null, "", address);
    shownAddress = location.pathname + location.search;
    forget("catalogue");
    put("catalogue", part);
    const heading = document.querySelector("#product-title");
    document.title = (heading ? heading.textContent : "Shop") + " · Diecast";
    if (!back) {
      byId("catalogue").focus({ preventScroll: true });
      byId("catalogue").scrollIntoView({ block: "nearest" });
    }
    viewed(began);
  }

  document.addEventListener("click", (event) => {
    const began = performance.now();
    const link = event.target.closest("a[data-part]");
    if (link && event.button === 0 && !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey)) {
      event.preventDefault();
      open(link.href, began);
      return;
    }
    const add = event.target.closest("button.add");
    if (add) {
      const known = mine.cart.find((one) => one.code === add.dataset.code);
      if (known) known.pieces = Math.min(999, known.pieces + 1);
      else mine.cart.push({ code: add.dataset.code, name: add.dataset.name, cents: Number(add.dataset.cents), pieces: 1 });
      byId("thanks").textContent = add.dataset.name + " is in the cart.";
      changed("cart", began);
      return;
    }
    const remove = event.target.closest("button.remove");
    if (remove) {
      mine.cart = mine.cart.filter((one) => one.code !== remove.closest("li").dataset.code);
      changed("cart", began);
      (document.querySelector("#cart button.remove") || byId("catalogue")).focus();
    }
  });

  byId("cart").addEventListener("change", (event) => {
    const one = mine.cart.find((some) => some.code === event.target.closest("li").dataset.code);
    one.pieces = Math.max(1, Math.min(999, Math.round(Number(event.target.value)) || 1));
    changed("cart", performance.now());
  });

  byId("checkout").addEventListener("click", () => {
    tell("checkout", performance.now());
    mine.browsed = [...mine.cart.map((one) => one.code), ...mine.browsed].slice(0, mostBrowsed);
    mine.cart = [];
    keep();
    draw();
    byId("thanks").textContent = "Thank you. This shop only shows how it works: nothing was sold.";
    byId("catalogue").focus({ preventScroll: true });
  });

  document.addEventListener("submit", (event) => {
    if (event.target.matches(".search")) {
      event.preventDefault();
      open("/shop?" + new URLSearchParams(new FormData(event.target)), performance.now());
    }
    if (event.target.id === "visitor-form") {
      event.preventDefault();
      const written = byId("customer") && byId("customer").value !== "" ? Number(byId("customer").value) : null;
      mine.who = {
        city: byId("city").value.trim(), country: byId("country").value.trim(), credit: Number(byId("credit").value),
        customer: written,
      };
      changed("view", performance.now());
    }
  });

  let following;
  function begin() {
    if (following) following.stop();
    sent.clear();
    forget("recommended");
    forget("because");
    following = follow("/shop/live", { "Diecast-Session": mine.session }, answered);
  }

  byId("anew").addEventListener("click", () => {
    mine = stranger({ ...mine.who, customer: null });
    byId("thanks").textContent = "";
    keep();
    draw();
    begin();
  });

  window.addEventListener("storage", (event) => {
    if (event.key !== key) return;
    const other = load();
    if (!other) return;
    const another = other.session !== mine.session;
    mine = other;
    draw();
    if (another) begin();
  });

  window.addEventListener("popstate", () => {
    // A step within the page leaves the catalogue as it is.
    if (location.pathname + location.search !== shownAddress) open(location.href, performance.now(), true);
  });

  mine = load() || stranger(usual);
  keep();
  draw();
  begin();
  viewed(performance.now());
})();
