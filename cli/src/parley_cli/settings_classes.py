"""The settings of all services and of `parley run`. Import it late: it loads the settings of every service."""

from auth.settings import AuthSettings
from chat.settings import ChatSettings
from gateway.settings import GatewaySettings
from history.settings import HistorySettings
from parley.config.settings import ServiceSettings
from parley_cli.settings import LocalSettings
from webhooks.settings import WebhooksSettings

SETTINGS_CLASSES: tuple[type[ServiceSettings], ...] = (
    GatewaySettings,
    AuthSettings,
    ChatSettings,
    HistorySettings,
    WebhooksSettings,
    LocalSettings,
)
