"""Backends that a test steers: no model, no server."""

from srt.llm.requests import Completion, Request


class Steered:
    """Answers the newest request first; notes how many were in hand."""

    capacity = 4

    def __init__(self) -> None:
        self.waiting: list[tuple[str, Request]] = []
        self.asked = self.most = 0

    def submit(self, ticket: str, request: Request) -> None:
        self.waiting.append((ticket, request))
        self.asked += 1
        self.most = max(self.most, len(self.waiting))

    def collect(self) -> list[tuple[str, Completion]]:
        ticket, request = self.waiting.pop()
        return [(ticket, Completion(f"to {request.chat[0][1]}", 10, "stop", 100, "m", 0.5))]

    def settled(self) -> None:
        pass

    def close(self) -> None:
        self.waiting = []


class Answering(Steered):
    """Every prompt has a token for each four characters, every answer 60 tokens."""

    def collect(self) -> list[tuple[str, Completion]]:
        ticket, request = self.waiting.pop()
        text = f"[New Instruction]New {ticket}[End][New Answer]It is {ticket}[End]"
        return [(ticket, Completion(text, 60, "stop", request.characters // 4, "m", 0.5))]
