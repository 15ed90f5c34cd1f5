"""Routes of OpenAI's Responses and Conversations APIs."""
