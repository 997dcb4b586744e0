"""Answer a batch of events record by record, by three HTTP calls each, one after the other.

It is what a first version of a transform function does, written with care: connections are pooled
and nothing is decoded twice. It stands beside the batched functions of the platform, in the same
run and with the same inference behind it, to say what batching is worth.

Usage: per_record.py URL < batch.json
"""

import base64
import json
import sys
import time
from typing import Any

import urllib3

LIMIT = 5


def answer(pool: urllib3.PoolManager, url: str, record: dict[str, Any]) -> dict[str, str]:
    """Return one record of the transform function's answer."""
    event = json.loads(base64.b64decode(record["data"]))
    history = event.get("browse_history") or []
    cart = {browsed["product_code"] for browsed in history if browsed["in_shopping_cart"]}

    def ask(method: str, path: str, body: object = None) -> list[Any]:
        response = pool.request(method, url + path, json=body)
        if response.status != 200:  # noqa: PLR2004
            raise RuntimeError(f"{path} answered {response.status}: {response.data[:200]!r}")
        return response.json()

    features = {"city": event["city"], "country": event["country"], "creditlimit": event["credit_limit"]}
    [vector] = ask("POST", "/user_embeddings", [features])
    items = ask("POST", f"/items_from_user?limit={min(100, LIMIT + len(cart))}", vector)
    event["recommended_items"] = [item for item in items if item["id"] not in cart][:LIMIT]
    event["similar_items"] = []
    for browsed in history[:1]:
        code = browsed["product_code"]
        similar = ask("GET", f"/items_from_item?item_id={code}&limit={LIMIT}")
        event["similar_items"].append({"product_code": code, "similar_items": similar})
    line = json.dumps(event, separators=(",", ":")) + "\n"
    return {"recordId": record["recordId"], "result": "Ok", "data": base64.b64encode(line.encode()).decode()}


def main() -> None:
    """Answer the batch on the standard input and print what that took."""
    records = json.load(sys.stdin)["records"]
    pool = urllib3.PoolManager(maxsize=4)
    answer(pool, sys.argv[1], records[0])  # the connection is there
    started = time.perf_counter()
    answered = [answer(pool, sys.argv[1], record) for record in records]
    seconds = time.perf_counter() - started
    if len(json.dumps({"records": answered})) < len(records):
        raise RuntimeError("the answer is empty")
    json.dump({"events": len(records), "seconds": seconds}, sys.stdout)


if __name__ == "__main__":
    main()
