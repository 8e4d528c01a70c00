// The child does nothing but count, bound to its processor; it ends with its parent, however that ends.
#include "neighbour.hpp"

#include <blockquant/error.hpp>

#ifdef __linux__
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

namespace bq_bench {
namespace {

[[noreturn]] void fail(const char* why) {
  throw bq::error({.code = bq::errc::invalid_argument, .message = why, .subject = "--neighbour"});
}

}  // namespace

#ifdef __linux__

neighbour::neighbour() {
  cpu_set_t allowed, last;
  CPU_ZERO(&last);
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) fail("the processors of this process cannot be asked for");
  for (int cpu = CPU_SETSIZE - 1; CPU_COUNT(&last) == 0; --cpu) {
    if (CPU_ISSET(cpu, &allowed)) CPU_SET(cpu, &last);
  }
  const pid_t parent = getpid();
  process_ = fork();
  if (process_ < 0) fail("a second process cannot be started");
  if (process_ > 0) return;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent || sched_setaffinity(0, sizeof last, &last) != 0) _exit(1);
  for (volatile unsigned turns = 0;;) turns = turns + 1;
}

neighbour::~neighbour() {
  kill(process_, SIGKILL);
  waitpid(process_, nullptr, 0);
}

#else

neighbour::neighbour() { fail("a busy neighbour is made on Linux only"); }
neighbour::~neighbour() = default;

#endif

}  // namespace bq_bench
