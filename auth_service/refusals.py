"""Refusals that several use cases share."""

from runtime.errors import ApiError, ErrorCode


def invalid_credentials() -> ApiError:
    """One text for an unknown e-mail and for a wrong password."""
    return ApiError(ErrorCode.INVALID_CREDENTIALS, "E-mail address or password is wrong.")


def suspended() -> ApiError:
    return ApiError(ErrorCode.ACCOUNT_SUSPENDED, "This account is suspended.")
