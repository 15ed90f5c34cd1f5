"""Internal turn routes; the gateway does not expose them."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from history.turns.schemas import KnownTurnsResponse, TurnDigestsResponse, TurnIdsRequest
from history.turns.store import TurnLookup
from parley.security.identity import INTERNAL_SCOPE, caller
from parley.web.app import JsonRoute

router = APIRouter(
    prefix="/internal/turns",
    route_class=JsonRoute,
    tags=["internal"],
    include_in_schema=False,
    dependencies=[Depends(caller(INTERNAL_SCOPE))],
)


async def turn_lookup(request: Request) -> TurnLookup:
    """Return the lookup that ``wire`` opened."""
    lookup: TurnLookup = request.app.state.wired.turns
    return lookup


Turns = Annotated[TurnLookup, Depends(turn_lookup)]


@router.post("/known")
async def known_turns(wanted: TurnIdsRequest, turns: Turns) -> KnownTurnsResponse:
    """Return the turns that need not be published again."""
    return KnownTurnsResponse(known=await turns.known(wanted.turn_ids))


@router.post("/digests")
async def turn_digests(wanted: TurnIdsRequest, turns: Turns) -> TurnDigestsResponse:
    """Return digests of the stored turns, for comparison with the turns that chat accepted."""
    return TurnDigestsResponse(digests=await turns.digests(wanted.turn_ids))
