"""Exception handlers of a FastAPI app that respond with a problem."""

from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from parley import errors
from parley.errors import ParleyError
from parley.web import problems
from parley.web.validation import from_validation

_METHODS = ("DELETE", "GET", "PATCH", "POST", "PUT")


def install_handlers(app: FastAPI, *, base_url: str) -> None:
    """Register exception handlers that respond with a problem."""

    def answer(request: Request, error: ParleyError) -> Response:
        request_id = request.scope["parley"].request_id
        return problems.problem_response(error, instance=request.url.path, request_id=request_id, base_url=base_url)

    async def on_parley_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, ParleyError)
        return answer(request, error)

    async def on_validation(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return answer(request, from_validation(error.errors(), error.body))

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        # FastAPI reports every failure to read the body as a parse error, with the original exception as its cause.
        cause = error.__cause__
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            return answer(request, errors.MethodNotAllowed(headers={"Allow": _allowed(request)}))
        return answer(request, cause if isinstance(cause, ParleyError) else problems.from_http(error))

    app.add_exception_handler(ParleyError, on_parley_error)
    app.add_exception_handler(RequestValidationError, on_validation)
    app.add_exception_handler(HTTPException, on_http)


def _allowed(request: Request) -> str:
    """Return all methods of the path. Starlette reports only those of the first matching route."""
    routes = request.app.router.routes
    found = [m for m in _METHODS if any(r.matches({**request.scope, "method": m})[0] is Match.FULL for r in routes)]
    return ", ".join(sorted({*found, "HEAD"}) if "GET" in found else found)
