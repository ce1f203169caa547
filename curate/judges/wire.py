"""One endpoint over the wire: a call goes out through the `openai` package, what came back is returned raw.

No error leaves this room with a header or an address in it: what can go wrong becomes a `Raw` with a reason.
"""

import asyncio
from typing import TYPE_CHECKING

from curate.judges.calls import Call
from curate.judges.endpoint import Address, Endpoint
from curate.judges.limits import Pace, Slots
from curate.judges.replies import UNHEARD, UNREACHED, Raw
from curate.judges.retry import asked_wait
from curate.judges.streams import is_stream, whole

if TYPE_CHECKING:
    import openai

_NEVER_SENT = ("ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol")
"""Names of the transport's errors after which nothing can have been billed."""


class Wire:
    """An open endpoint: its client, its pace and its slots."""

    def __init__(self, name: str, endpoint: Endpoint, address: Address) -> None:
        from openai import AsyncOpenAI

        self.name, self.endpoint, self.address = name, endpoint, address
        self.client: openai.AsyncOpenAI = AsyncOpenAI(
            base_url=address.url, api_key=address.key, max_retries=0, timeout=endpoint.timeout_s
        )
        self.pace = Pace(endpoint.requests_per_minute, endpoint.tokens_per_minute)
        self.slots = Slots(endpoint.concurrency)
        self.heard = 0
        """HTTP replies so far: whether anybody is there at all."""

    async def send(self, call: Call) -> Raw:
        """One attempt; whatever goes wrong on the way is a `Raw` too."""
        import httpx
        import openai

        try:
            # The client's own limit is for each read, and a dripping server never meets it.
            async with asyncio.timeout(self.endpoint.timeout_s):
                # By its path, since the typed method spends a millisecond on walking through the messages.
                answer = await self.client.post("/chat/completions", body=call.request, cast_to=httpx.Response)
            raw = self._heard(answer.text)
        except (TimeoutError, openai.APITimeoutError):
            return Raw(UNHEARD, "", "timed_out")
        except openai.APIStatusError as error:
            body = self.address.without_key(error.response.text)
            raw = Raw(error.status_code, body, wait_s=asked_wait(error.response.headers, body=body))
        except openai.APIConnectionError as error:
            never = type(error.__cause__).__name__ in _NEVER_SENT
            return Raw(UNREACHED if never else UNHEARD, "", "connection_failed" if never else "connection_cut")
        self.heard += 1
        return raw

    def _heard(self, body: str) -> Raw:
        """A reply without any sight of the key; of a stream what its chunks add up to, since it may be parted anywhere."""
        said = whole(body) if is_stream(body) else body
        return Raw(UNHEARD, "", "connection_cut") if said is None else Raw(200, self.address.without_key(said))
