"""Orders three times at the shop, one of them twice: `python examples/09_outbox/order.py`."""

import asyncio

from httpx import ASGITransport, AsyncClient
from shop import app, packed


async def main() -> None:
    async with (
        app.router.lifespan_context(app),
        AsyncClient(transport=ASGITransport(app), base_url="http://shop") as client,
    ):
        for order in ("A-1", "A-2", "A-1"):
            answer = await client.post(f"/orders/{order}")
            print(order, answer.status_code)
    print("packed", *sorted(packed))


asyncio.run(main())
