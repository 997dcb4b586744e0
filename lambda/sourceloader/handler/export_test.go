package handler

// AnswerMargin is kept of the function's time.
const AnswerMargin = answerMargin
