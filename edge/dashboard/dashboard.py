"""The parts of a dashboard, put together."""

from __future__ import annotations

from edge.dashboard.accounts import Accounts
from edge.dashboard.history import History
from edge.dashboard.history_file import HistoryFile
from edge.dashboard.history_queries import HistoryQueries
from edge.dashboard.listener import Listener
from edge.dashboard.live import LiveNews
from edge.dashboard.plant import Plant
from edge.dashboard.reviews import Reviews
from edge.dashboard.sessions import Sessions, SignInLimit
from edge.dashboard.settings import DashboardSettings


class Dashboard:
    """What the pages read, and the listener that fills it.

    Args:
        settings: of the dashboard file.

    Raises:
        ConfigError: the folder, the history or a secret cannot be used.
    """

    def __init__(self, settings: DashboardSettings):
        self.settings = settings
        self._file = HistoryFile(settings.folder)
        self.history = HistoryQueries(self._file)
        self.plant = Plant()
        self.news = LiveNews()
        self.accounts = Accounts(settings.folder)
        self.sessions = Sessions(settings.session_s)
        self.sign_in_limit = SignInLimit()
        self.reviews = Reviews(settings.folder)
        self.listener = Listener(
            settings.mqtt, History(self._file, settings.retention), self.plant, self.news
        )

    def start(self) -> None:
        """Begin to listen to the plant."""
        self.listener.start()

    def stop(self) -> None:
        """End, and close the history."""
        self.listener.stop()
        self._file.close()
