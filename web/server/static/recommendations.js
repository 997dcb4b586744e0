// The page of recommendations. Who is asked for stands in the address's fragment, which browsers send
// to nobody: it can be shared, and the back button works.
"use strict";
(() => {
  const { byId, follow, put } = Diecast;
  let following;

  function chosen() {
    const [kind, ...rest] = location.hash.slice(1).split("=");
    let value = rest.join("=");
    try { value = decodeURIComponent(value); } catch { /* it stays as it is */ }
    return { kind, value };
  }

  function show() {
    const { kind, value } = chosen();
    const headers = {};
    byId("customer").value = kind === "customer" ? value : "";
    byId("session").value = kind === "session" ? value : "";
    // A header takes visible letters only; the server says so of others, and shows what it can.
    const sent = /^[!-~]+$/.test(value) ? value : "?";
    if (kind === "customer") headers["Diecast-Customer"] = sent;
    else if (kind === "session") headers["Diecast-Session"] = sent === value ? value : "not a session";
    else put("answer", byId("nobody").innerHTML);
    if (following) following.stop();
    following = follow("/recommendations/live", headers);
  }

  function choose(kind) {
    byId("choose-" + kind).addEventListener("submit", (event) => {
      event.preventDefault();
      location.hash = kind + "=" + encodeURIComponent(byId(kind).value.trim());
    });
  }
  choose("customer");
  choose("session");
  window.addEventListener("hashchange", show);
  show();
})();
