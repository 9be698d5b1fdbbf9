"""`general/Shop-v1`: buy what was asked for, at the best price, and say what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from palestra.envs import Score, Task
from palestra.envs.answers import same_answer
from palestra_general.tools import Call, ToolEnv, ToolError, judged, schema, spoken, written

THINGS = ("lamp", "mug", "scarf", "notebook", "umbrella", "blanket", "clock", "vase")
COLOURS = ("black", "blue", "green", "red", "white", "yellow")
PRODUCTS_OF_A_THING = 6

Product = dict[str, Any]


class ShopEnv(ToolEnv):
    """One (level 1) to three (level 3) things: each the cheapest of its colour that is in stock.

    What counts is the order that was placed and the total that is said.
    """

    difficulties = (1, 3)
    max_turns = 8
    schemas = (
        schema("find_products", "Return the products of a kind.", thing="string"),
        schema("get_price", "Return price and stock.", number="integer: of the product"),
        schema("add_to_cart", "Add to the cart.", number="integer", quantity="integer"),
        schema("empty_cart", "Take everything out of the cart."),
        schema("check_out", "Order what is in the cart; there is one order."),
    )

    def __init__(self) -> None:
        super().__init__()
        self._products: dict[int, Product] = {}
        self._cart: dict[int, int] = {}
        self._order: dict[int, int] | None = None

    def sample(self, rng: np.random.Generator, difficulty: int) -> Task:
        """Draw a shop and a wish list."""
        things = [str(thing) for thing in rng.choice(THINGS, difficulty, replace=False)]
        products = [product for thing in things for product in _shelf(thing, rng)]
        wanted: dict[str, int] = {}
        lines: list[str] = []
        total = 0
        for thing in things:
            fitting = [p for p in products if p["thing"] == thing and p["stock"] >= 5]
            colour = str(rng.choice(sorted({p["colour"] for p in fitting})))
            cheapest = min((p for p in fitting if p["colour"] == colour), key=lambda p: p["price"])
            quantity = int(rng.integers(1, 6))
            wanted[str(cheapest["number"])] = quantity
            total += quantity * int(cheapest["price"])
            lines.append(f"{quantity} of the cheapest {colour} {thing} that you have enough of")
        prompt = (
            f"Please order {', and '.join(lines)}. Nothing else, in one order. Then say the total "
            "in <answer> tags."
        )
        return Task(
            prompt=prompt,
            system=spoken(self.schemas),
            reference=str(total),
            metadata={"products": products, "wanted": wanted},
            tools=self.schemas,
        )

    def start(self, task: Task) -> None:
        """Fill the shelves, empty the cart."""
        products = cast("list[Product]", task.metadata["products"])
        self._products = {int(product["number"]): product for product in products}
        self._cart, self._order = {}, None

    def tool_find_products(self, thing: str) -> list[dict[str, object]]:
        """Return numbers and colours; prices are asked for one by one."""
        return [
            {"number": p["number"], "colour": p["colour"]}
            for p in self._products.values()
            if p["thing"] == thing.strip().lower()
        ]

    def tool_get_price(self, number: int) -> dict[str, object]:
        """Return the price and the stock of a product."""
        product = self._product(number)
        return {"price": product["price"], "stock": product["stock"]}

    def tool_add_to_cart(self, number: int, quantity: int) -> dict[str, int]:
        """Add to the cart, as far as the stock goes."""
        product = self._product(number)
        if not 1 <= quantity + self._cart.get(number, 0) <= product["stock"] or quantity < 1:
            raise ToolError(f"of this there are {product['stock']}")
        self._cart[number] = self._cart.get(number, 0) + quantity
        return {str(key): count for key, count in self._cart.items()}

    def tool_empty_cart(self) -> str:
        """Empty the cart."""
        self._cart = {}
        return "the cart is empty"

    def tool_check_out(self) -> str:
        """Place the order, once."""
        if self._order is not None:
            raise ToolError("there was an order already")
        if not self._cart:
            raise ToolError("the cart is empty")
        self._order, self._cart = self._cart, {}
        return "ordered"

    def judge(self, task: Task, answer: str) -> Score:
        """Compare the order, and the total that was said."""
        order = {str(number): count for number, count in (self._order or {}).items()}
        if order != task.metadata["wanted"]:
            return judged(False, answer, "not the order that was asked for")
        return judged(same_answer(answer, task.reference), answer, "another total")

    def reference_completion(self, task: Task) -> str:
        """Return all calls in one turn, and the total."""
        calls = [*_orders(task), Call(name="check_out", arguments={})]
        return f"{written(*calls)}\n<answer>{task.reference}</answer>"

    def probes(self, task: Task) -> list[str]:
        """Try the total without an order, a cart without an order, and too many of a thing."""
        orders, out = _orders(task), Call(name="check_out", arguments={})
        answer = f"<answer>{task.reference}</answer>"
        return [
            answer,
            f"{written(*orders)}\n{answer}",
            f"{written(*orders, out)}\n<answer>0</answer>",
            f"{written(*orders[1:], out)}\n{answer}",
            f"{written(orders[0], *orders, out)}\n{answer}",
        ]

    def _product(self, number: int) -> Product:
        if number not in self._products:
            raise ToolError("no product of this number")
        return self._products[number]


def _orders(task: Task) -> list[Call]:
    wanted = cast("Mapping[str, int]", task.metadata["wanted"])
    return [
        Call(name="add_to_cart", arguments={"number": int(number), "quantity": quantity})
        for number, quantity in wanted.items()
    ]


def _shelf(thing: str, rng: np.random.Generator) -> list[Product]:
    """Return products of one kind in two colours, each at its own price, some out of stock."""
    prices = rng.choice(np.arange(3, 80), PRODUCTS_OF_A_THING, replace=False)
    colours = rng.choice(COLOURS, 2, replace=False)
    first = 100 * (THINGS.index(thing) + 1)
    return [
        {
            "number": first + i,
            "thing": thing,
            "colour": str(colours[i % 2]),
            "price": int(price),
            "stock": int(rng.integers(5, 20)) if i < 2 or rng.random() < 0.6 else 0,
        }
        for i, price in enumerate(prices)
    ]
