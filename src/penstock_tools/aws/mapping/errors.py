"""The errors with which Lambda refuses calls about event source mappings."""


class ServiceError(Exception):
    """An error of the service: its code, its HTTP status, and the name under which its body carries the message."""

    code = "ServiceException"
    status = 500
    message_key = "Message"


class InvalidParameterValue(ServiceError):
    """A parameter breaks a rule."""

    code = "InvalidParameterValueException"
    status = 400
    message_key = "message"


class ResourceNotFound(ServiceError):
    """No such mapping, or no such function."""

    code = "ResourceNotFoundException"
    status = 404


class ResourceConflict(ServiceError):
    """Such a mapping already exists."""

    code = "ResourceConflictException"
    status = 409
    message_key = "message"


class ResourceInUse(ServiceError):
    """The mapping is changing from one state to another."""

    code = "ResourceInUseException"
    status = 400


class InvalidRequestContent(ServiceError):
    """A payload is not valid JSON."""

    code = "InvalidRequestContentException"
    status = 400
    message_key = "message"


class RequestTooLarge(ServiceError):
    """A payload is above the limit of a synchronous call."""

    code = "RequestTooLargeException"
    status = 413
    message_key = "message"
