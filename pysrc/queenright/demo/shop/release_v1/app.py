"""The shop, release 1."""

from typing import Any

HISTORY = "SELECT id, sku, qty, cents FROM orders WHERE customer = ? ORDER BY placed DESC LIMIT 10"


def checkout(session: Any, order: dict[str, Any]) -> dict[str, Any]:
    rows = session.run("SELECT price FROM products WHERE sku = ?", order["sku"])
    if not rows:
        raise ValueError(f"no such product: {order['sku']}")
    cents = round(rows[0]["price"] * 100) * order["qty"]
    session.run("UPDATE products SET stock = stock - ? WHERE sku = ?", order["qty"], order["sku"])
    session.run(
        "INSERT INTO orders (customer, placed, sku, qty, cents)"
        " VALUES (?, (SELECT max(id) FROM orders) + 1, ?, ?, ?)",
        order["customer"],
        order["sku"],
        order["qty"],
        cents,
    )
    return {"cents": cents}


def orders(session: Any, customer: int, flags: dict[str, bool]) -> dict[str, Any]:
    found = {"orders": [dict(row) for row in session.run(HISTORY, customer)]}
    if flags.get("recommend"):
        rows = session.run("SELECT sku, name FROM products ORDER BY stock LIMIT 3")
        found["recommended"] = [dict(row) for row in rows]
    return found
