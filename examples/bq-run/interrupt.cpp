#include "interrupt.hpp"

#include <csignal>

namespace bq_run {

namespace {

// A signal handler can reach nothing else.
volatile std::sig_atomic_t signalled = 0;

extern "C" void on_interrupt(int) { signalled = 1; }

}  // namespace

interrupt::interrupt() { clear(); }

interrupt::~interrupt() { std::signal(SIGINT, SIG_DFL); }

bool interrupt::requested() const noexcept { return signalled != 0; }

void interrupt::clear() {
  signalled = 0;
  struct sigaction action = {};
  action.sa_handler = on_interrupt;
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  sigaction(SIGINT, &action, nullptr);
}

}  // namespace bq_run
