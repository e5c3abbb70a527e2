/* llctrace: a Valgrind tool that writes the last-level-cache access stream of a program.

   SPDX-License-Identifier: GPL-2.0-or-later
   Copyright (C) 2026 The learnsys developers

   This file alone is free software under the GNU General Public License, version 2 or (at your option) any later
   version, because the program built from it links Valgrind's core, which is. It comes without any warranty. The rest
   of learnsys is under the MIT licence and does not link it: learnsys.traces.recorder builds this file on the user's
   machine, runs the result as a separate process and reads what it writes.

   Every data access goes through an L1D and an L2 (LRU, write-allocate, no prefetch, no write-backs, the L2 looked up
   at L1 misses only). An access that misses both becomes one record of 16 bytes, little-endian:

      u64 kind << 56 | program counter        kind 0 load, 1 store, 2 instruction fetch
      u64 byte address

   An access that spans lines counts once per line; from the second line on its address is that line's first byte. A
   read-modify-write is a load and then a store. A size of 0 KiB leaves a level out.

   Only processes whose parent is --parent (0: any) write: the program that was started, also after it replaced itself
   with exec, but not its children. At an exec the number of records so far is handed over in the file OUT.seen, so that
   --skip-records and --max-records hold for the whole. */

#include "pub_tool_basics.h"
#include "pub_tool_libcassert.h"
#include "pub_tool_libcbase.h"
#include "pub_tool_libcfile.h"
#include "pub_tool_libcprint.h"
#include "pub_tool_libcproc.h"
#include "pub_tool_machine.h"
#include "pub_tool_mallocfree.h"
#include "pub_tool_options.h"
#include "pub_tool_tooliface.h"
#include "pub_tool_vki.h"
#include "pub_tool_vkiscnums.h"

/* Two functions of the core that its tool headers leave out. */
extern Int VG_(safe_fd)(Int fd); /* moves a descriptor out of the program's reach */
extern const HChar* VG_(strerror)(UWord error);

enum { LOAD = 0, STORE = 1, FETCH = 2 };

#define EMPTY (~(UWord)0)
#define BUFFERED 4096

typedef struct {
   UWord* lines; /* [sets][ways], most recently used first */
   UWord mask;   /* sets - 1 */
   UInt ways;    /* 0: this level is left out */
} Level;

typedef struct {
   ULong key;
   ULong address;
} Record;

static Level l1d, l1i, l2;
static UInt line_bits = 6;
static Record buffer[BUFFERED];
static UInt buffered = 0;
static ULong seen = 0; /* accesses that missed both levels, skipped ones included */
static Int out = -1;   /* -1: this process does not record */

static const HChar* clo_out = NULL;
static Long clo_skip_records = 0;
static Long clo_max_records = 0; /* 0: no limit */
static Long clo_l1_kb = 32, clo_l1_ways = 8, clo_l2_kb = 256, clo_l2_ways = 8, clo_line_size = 64;
static Long clo_parent = 0;
static Bool clo_ifetch = False;

/* ---- writing ---- */

static void stop(const HChar* doing, const HChar* path, Int error)
{
   VG_(umsg)("llctrace: cannot %s %s: %s\n", doing, path, VG_(strerror)(error));
   VG_(exit)(1);
}

static void flush(void)
{
   const HChar* from = (const HChar*)buffer;
   Int left = buffered * sizeof(Record);
   buffered = 0;
   while (left > 0 && out >= 0) {
      Int written = VG_(write)(out, from, left);
      if (written > 0) {
         from += written;
         left -= written;
      } else if (written != -VKI_EINTR) {
         stop("write", clo_out, written ? -written : VKI_ENOSPC);
      }
   }
}

static const HChar* seen_path(void)
{
   static HChar path[4096 + 8];
   VG_(snprintf)(path, sizeof path, "%s.seen", clo_out);
   return path;
}

static void hand_over(ThreadId tid, UInt number, UWord* args, UInt n_args)
{
   if (out < 0 || (number != __NR_execve && number != __NR_execveat))
      return;
   flush();
   Int file = VG_(fd_open)(seen_path(), VKI_O_CREAT | VKI_O_TRUNC | VKI_O_WRONLY, 0600);
   if (file < 0 || VG_(write)(file, &seen, sizeof seen) != sizeof seen)
      stop("write", seen_path(), VKI_EIO);
   VG_(close)(file);
}

static void exec_failed(ThreadId tid, UInt number, UWord* args, UInt n_args, SysRes result)
{
   if (out >= 0 && (number == __NR_execve || number == __NR_execveat))
      VG_(unlink)(seen_path());
}

static void leave_to_parent(ThreadId tid)
{
   if (out >= 0)
      VG_(close)(out);
   out = -1;
   buffered = 0;
}

/* ---- the two levels ---- */

static void make_level(Level* level, Long kb, Long ways, const HChar* name)
{
   if (kb == 0)
      return;
   UWord lines = kb * 1024 / clo_line_size, sets = lines / ways;
   if (sets == 0 || (sets & (sets - 1)) || sets * ways != lines)
      VG_(fmsg_bad_option)(name, "%lld KiB in %lld ways make no power of two of sets\n", kb, ways);
   level->ways = ways;
   level->mask = sets - 1;
   level->lines = VG_(malloc)("llctrace.level", lines * sizeof(UWord));
   for (UWord i = 0; i < lines; i++)
      level->lines[i] = EMPTY;
}

/* Whether `line` is held; afterwards it is, as the most recently used of its set. */
static inline Bool lookup(Level* level, UWord line)
{
   if (level->ways == 0)
      return False;
   UWord* lines = level->lines + (line & level->mask) * level->ways;
   UWord held = lines[0];
   if (held == line)
      return True;
   for (UInt way = 1; way < level->ways; way++) {
      UWord following = lines[way];
      lines[way] = held;
      held = following;
      if (held == line)
         break;
   }
   lines[0] = line;
   return held == line;
}

static void missed(ULong key, Addr address)
{
   if (out < 0 || ++seen <= (ULong)clo_skip_records)
      return;
   buffer[buffered].key = key;
   buffer[buffered].address = address;
   if (++buffered == BUFFERED)
      flush();
   if (clo_max_records && seen == (ULong)(clo_skip_records + clo_max_records)) {
      flush();
      VG_(exit)(0);
   }
}

static inline void access_lines(Level* l1, ULong key, Addr address, UWord size)
{
   UWord line = address >> line_bits, last = (address + size - 1) >> line_bits;
   while (True) {
      if (!lookup(l1, line) && !lookup(&l2, line))
         missed(key, address);
      if (line == last)
         break;
      address = ++line << line_bits;
   }
}

static void on_data(ULong key, Addr address, UWord size) { access_lines(&l1d, key, address, size); }

static void on_fetch(ULong key, Addr address, UWord size) { access_lines(&l1i, key, address, size); }

/* ---- instrumentation ---- */

static void add_call(IRSB* block, Int kind, Addr pc, IRExpr* address, Int size, IRExpr* guard)
{
   IRExpr** arguments =
      mkIRExprVec_3(mkIRExpr_HWord(((ULong)kind << 56) | (pc & 0xFFFFFFFFFFFFFFULL)), address, mkIRExpr_HWord(size));
   IRDirty* call = kind == FETCH
      ? unsafeIRDirty_0_N(0, "on_fetch", VG_(fnptr_to_fnentry)(&on_fetch), arguments)
      : unsafeIRDirty_0_N(0, "on_data", VG_(fnptr_to_fnentry)(&on_data), arguments);
   if (guard)
      call->guard = guard;
   addStmtToIRSB(block, IRStmt_Dirty(call));
}

static void instrument_statement(IRSB* block, const IRTypeEnv* types, IRStmt* statement, Addr pc)
{
   switch (statement->tag) {
   case Ist_WrTmp: {
      IRExpr* data = statement->Ist.WrTmp.data;
      if (data->tag == Iex_Load)
         add_call(block, LOAD, pc, data->Iex.Load.addr, sizeofIRType(data->Iex.Load.ty), NULL);
      break;
   }
   case Ist_Store: {
      IRExpr* data = statement->Ist.Store.data;
      add_call(block, STORE, pc, statement->Ist.Store.addr, sizeofIRType(typeOfIRExpr(types, data)), NULL);
      break;
   }
   case Ist_LoadG: {
      IRLoadG* load = statement->Ist.LoadG.details;
      IRType wide, loaded;
      typeOfIRLoadGOp(load->cvt, &wide, &loaded);
      add_call(block, LOAD, pc, load->addr, sizeofIRType(loaded), load->guard);
      break;
   }
   case Ist_StoreG: {
      IRStoreG* store = statement->Ist.StoreG.details;
      add_call(block, STORE, pc, store->addr, sizeofIRType(typeOfIRExpr(types, store->data)), store->guard);
      break;
   }
   case Ist_CAS: {
      IRCAS* cas = statement->Ist.CAS.details;
      Int size = sizeofIRType(typeOfIRExpr(types, cas->dataLo)) * (cas->dataHi ? 2 : 1);
      add_call(block, LOAD, pc, cas->addr, size, NULL);
      add_call(block, STORE, pc, cas->addr, size, NULL);
      break;
   }
   case Ist_LLSC: {
      IRExpr* data = statement->Ist.LLSC.storedata;
      IRType type = data ? typeOfIRExpr(types, data) : typeOfIRTemp(types, statement->Ist.LLSC.result);
      add_call(block, data ? STORE : LOAD, pc, statement->Ist.LLSC.addr, sizeofIRType(type), NULL);
      break;
   }
   case Ist_Dirty: {
      IRDirty* helper = statement->Ist.Dirty.details;
      if (helper->mFx == Ifx_Read || helper->mFx == Ifx_Modify)
         add_call(block, LOAD, pc, helper->mAddr, helper->mSize, helper->guard);
      if (helper->mFx == Ifx_Write || helper->mFx == Ifx_Modify)
         add_call(block, STORE, pc, helper->mAddr, helper->mSize, helper->guard);
      break;
   }
   default:
      break;
   }
}

static IRSB* instrument(VgCallbackClosure* closure, IRSB* in, const VexGuestLayout* layout,
                        const VexGuestExtents* extents, const VexArchInfo* host, IRType guest_word, IRType host_word)
{
   if (out < 0)
      return in;
   IRSB* block = deepCopyIRSBExceptStmts(in);
   Bool started = False; /* what stands before the first instruction is Valgrind's own */
   Addr pc = 0;
   for (Int i = 0; i < in->stmts_used; i++) {
      IRStmt* statement = in->stmts[i];
      if (statement->tag == Ist_IMark) {
         started = True;
         pc = statement->Ist.IMark.addr;
         if (clo_ifetch)
            add_call(block, FETCH, pc, mkIRExpr_HWord(pc), statement->Ist.IMark.len, NULL);
      } else if (started) {
         instrument_statement(block, in->tyenv, statement, pc);
      }
      addStmtToIRSB(block, statement);
   }
   return block;
}

/* ---- start and end ---- */

static Bool process_option(const HChar* option)
{
   const Long most = 1LL << 40;
   return VG_STR_CLO(option, "--out", clo_out)
      || VG_BINT_CLO(option, "--skip-records", clo_skip_records, 0, 1LL << 60)
      || VG_BINT_CLO(option, "--max-records", clo_max_records, 0, 1LL << 60)
      || VG_BINT_CLO(option, "--l1-kb", clo_l1_kb, 0, most)
      || VG_BINT_CLO(option, "--l1-ways", clo_l1_ways, 1, most)
      || VG_BINT_CLO(option, "--l2-kb", clo_l2_kb, 0, most)
      || VG_BINT_CLO(option, "--l2-ways", clo_l2_ways, 1, most)
      || VG_BINT_CLO(option, "--line-size", clo_line_size, 1, 1024)
      || VG_BINT_CLO(option, "--parent", clo_parent, 0, most)
      || VG_BOOL_CLO(option, "--ifetch", clo_ifetch);
}

static void usage(void)
{
   VG_(printf)("    --out=FILE              write the records there (a file or a FIFO)\n"
               "    --skip-records=N        leave the first N records out [0]\n"
               "    --max-records=N         end the program after N records, 0: no limit [0]\n"
               "    --l1-kb=N --l1-ways=N   L1, KiB (0: none) and ways [32, 8]\n"
               "    --l2-kb=N --l2-ways=N   L2, KiB (0: none) and ways [256, 8]\n"
               "    --line-size=N           bytes in a line [64]\n"
               "    --ifetch=yes|no         record instruction fetches too [no]\n"
               "    --parent=PID            record only in children of PID, 0: in any process [0]\n");
}

static void debug_usage(void) { VG_(printf)("    (none)\n"); }

static void start(void)
{
   if (!clo_out)
      VG_(fmsg_bad_option)("--out", "is missing\n");
   if (clo_line_size & (clo_line_size - 1))
      VG_(fmsg_bad_option)("--line-size", "is no power of two\n");
   for (line_bits = 0; 1LL << line_bits < clo_line_size; line_bits++) {}
   make_level(&l1d, clo_l1_kb, clo_l1_ways, "--l1-kb");
   make_level(&l1i, clo_l1_kb, clo_l1_ways, "--l1-kb");
   make_level(&l2, clo_l2_kb, clo_l2_ways, "--l2-kb");
   if (clo_parent && clo_parent != VG_(getppid)())
      return;
   Int before = VG_(fd_open)(seen_path(), VKI_O_RDONLY, 0);
   if (before >= 0) {
      if (VG_(read)(before, &seen, sizeof seen) != sizeof seen)
         stop("read", seen_path(), VKI_EIO);
      VG_(close)(before);
      VG_(unlink)(seen_path());
   }
   SysRes opened =
      VG_(open)(clo_out, VKI_O_CREAT | VKI_O_WRONLY | (before < 0 ? VKI_O_TRUNC : VKI_O_APPEND), 0600);
   if (sr_isError(opened))
      stop("open", clo_out, sr_Err(opened));
   out = VG_(safe_fd)(sr_Res(opened));
}

static void finish(Int exit_code) { flush(); }

static void pre_clo_init(void)
{
   VG_(details_name)("llctrace");
   VG_(details_version)(NULL);
   VG_(details_description)("a recorder of last-level-cache accesses");
   VG_(details_copyright_author)("Copyright (C) 2026 The learnsys developers");
   VG_(details_bug_reports_to)("the learnsys developers");
   VG_(basic_tool_funcs)(start, instrument, finish);
   VG_(needs_command_line_options)(process_option, usage, debug_usage);
   VG_(needs_syscall_wrapper)(hand_over, exec_failed);
   VG_(atfork)(NULL, NULL, leave_to_parent);
}

VG_DETERMINE_INTERFACE_VERSION(pre_clo_init)
